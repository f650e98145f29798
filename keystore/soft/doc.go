// Package soft is the software security module: the embedded default of the
// keystore interface.
//
// One sealed file holds the key-encryption keys, the MAC key and the service
// keys under a key derived from a passphrase. Signer keys live with the caller,
// wrapped with AES-KWP (RFC 5649), and are in memory only while a handle is
// open. Whoever can read the memory of the process, or the file and the
// passphrase, has the keys: it is no certified device, and Probe says so.
package soft
