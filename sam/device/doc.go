// Package device is the signer's device on the command line: it keeps the device
// key in a file, shows what is to be signed, and approves it. It believes nobody
// but the approval origin that it was enrolled at, and there only what stands in
// the bytes that it signs.
package device
