// Package signing is the vocabulary that both sides of a hash-only signature
// must compute alike: algorithms, digests and their words, digest-set binding,
// and the signed records that travel between the signature activation module, the
// registration authority and the certification authority.
//
// It does no I/O and knows no protocol.
package signing
