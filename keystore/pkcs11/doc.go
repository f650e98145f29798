// Package pkcs11 keeps keys in a hardware security module, or in anything else
// that speaks PKCS#11, such as SoftHSM2.
//
// Resident in the module, and never extractable, are the generations of the
// key-encryption key (KEK), the MAC key and the service keys. A signer's key is
// made as a session object, wrapped under the current KEK (AES-KWP, RFC 5649)
// and destroyed; it is unwrapped for the signatures of one activation, not
// extractable any more, and destroyed again.
//
// # Who initialises the library
//
// A PKCS#11 library is initialised once for a whole process. crypto11 does both
// C_Initialize and C_Finalize here and nothing else does; the calls that it lacks
// (wrap, unwrap, MAC, Ed25519) go to the same library directly. When sessions or
// login are lost, or the module was restarted, the driver lets the calls under way
// end, finalises, initialises and logs in again: handles from before are never
// used after it, because their numbers may belong to other keys then.
//
// # What is repeated
//
// Looking up, unwrapping, computing a MAC and signing with a service key are
// repeated once after a recovery. A signature with a signer's key is begun again
// only when the module refused to begin it; once C_Sign was called it is never
// called again for the same digest.
//
// The package needs cgo. One process uses a token at a time.
package pkcs11
