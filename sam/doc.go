// Package sam is the signature activation module: the only code that may use a
// signer's key, and only for the hashes that the signer's own device approved.
//
// It makes the signature activation data (SAD), verifies the device's approval
// over exactly those bytes, and signs each approved hash at most once. What it
// stores about devices and keys is protected by a MAC of the keystore; every step
// is recorded in an event log in the same transaction, and no signature leaves
// before its record is durable.
//
// An OAuth token authorises asking; nothing but a device's assertion authorises
// signing. The package has no use for tokens, documents or web frameworks, and
// imports none.
package sam
