// Command countersign-sam is the signature activation module: the one program
// that may use a signer's key. It is a binary of its own so that its small
// trusted base is a fact of the build: neither OAuth nor the API nor documents
// are linked into it.
package main
