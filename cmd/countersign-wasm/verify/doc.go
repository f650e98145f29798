// Command verify completes signatures in a browser's worker with time-stamps and
// validation data, and judges signed documents. It is loaded when it is needed:
// certificates, OCSP answers and CRLs make it larger than what only assembles.
package main
