// Package host is how a Go program in a browser's worker talks to the worker's
// script: operations that answer with promises, files read in pieces, digests
// that the browser computes. It knows no document format.
package host
