// Command countersign-wasm prepares and assembles PAdES signatures in a browser's
// worker. The document is read in pieces from the browser's own file and goes
// nowhere; digests and the verification of the signature are the browser's.
package main
