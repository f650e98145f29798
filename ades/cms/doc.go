// Package cms builds and reads the cryptographic half of AdES signatures: CMS
// SignedData with CAdES attributes as PAdES demands them (ETSI EN 319 122-1,
// EN 319 142-1), RFC 3161 time-stamps, OCSP responses and CRLs.
//
// Building is strict: DER, exactly one SignerInfo, no signing-time attribute,
// and every value is verified before it is assembled, here or by a caller who says so
// (AssembleVerified). Private keys never come
// here: the caller brings the signature value that somebody else made over
// SignedAttributes.
//
// Reading is lenient and talkative: what another producer did wrong becomes a
// Finding beside the parsed value wherever it can still be read, so that a
// validator can say more than "malformed". Building certificate chains and
// trusting them is the caller's business.
//
// The package does no I/O, reaches neither network nor database, and compiles
// for the browser.
//
// Built with the tag assemble, the package only builds: what reads and verifies, and
// with it crypto/x509, stays out of the program that signs in browsers.
package cms
