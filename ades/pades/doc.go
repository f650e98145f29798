// Package pades assembles PAdES signatures (ETSI EN 319 142-1) in PDF files
// without ever holding the signer's key.
//
// Prepare appends a signature field and computes what is to be signed; the
// signature is made elsewhere over the DTBS/R; Finish, or Embed for a CMS made
// elsewhere, completes it and augments it to B-T, B-LT or B-LTA. Every step
// yields a Patch: the bytes to append to the original, which is read once, is
// never changed and never held in memory. Prepared and Patch are plain values
// that survive as JSON between the steps.
//
// Nothing here reaches the network: time-stamps and validation data come from
// functions that the caller gives. What a document's certification, locks, seed
// values or encryption forbid is refused with the reason.
package pades
