// Package validate judges signatures in PDF files the way ETSI TS 119 102-1
// describes it: for each signature whether it is TOTAL-PASSED, INDETERMINATE or
// TOTAL-FAILED, with the sub-indication, who signed, when that is proved, what
// the signature covers and what changed afterwards.
//
// It uses only what it is given: the file, trust anchors, and revocation data
// from the file or the caller. It reaches neither network nor database and
// compiles for the browser.
//
// Where the standards leave it open, the package decides like this:
//
//   - A status is taken from an OCSP answer or CRL that was in force at the time
//     the certificate was used (its best proved time), or was made later. For
//     time-stamping and CA certificates one that has run out since is still
//     taken, with a note: a file must remain verifiable without a network.
//   - A signature without DocMDP allows what DocMDP level 2 allows: filling in
//     forms, signing, and adding validation data. Everything else that happened
//     after signing keeps it from passing.
//   - What readers may understand differently, such as objects that no
//     cross-reference lists or an entry that a dictionary has twice, keeps a
//     signature from passing if it came later. So does what lies over a page
//     without being signed: an empty field with a look, a visible document
//     time-stamp, another face of a button.
//   - A time-stamp that is over other bytes, or whose own signature does not
//     verify, keeps the signature from passing. One that is merely not trusted
//     proves nothing and harms nothing.
package validate
