// Package pki is the built-in certification authority: it issues certificates
// for keys that the activation module made and a registration authority proved,
// answers for their status by OCSP and CRL, and gives time-stamps (RFC 3161).
//
// One root certifies one issuing CA, and that CA the signers, the OCSP responder
// and the time-stamping unit. The profiles are those that EU DSS, pyHanko,
// OpenSSL and poppler all accept. Certificates are not qualified unless an
// operator who is allowed to says so in the configuration.
//
// A certificate is issued only on two statements together: a key record sealed
// by a registered activation module and a proofing record sealed by a registered
// registration authority, over the same signer, credential and key. Nobody else,
// the gateway least of all, has a way to a certificate for a key of its own.
package pki
