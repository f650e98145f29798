//go:build js

package host

import (
	"crypto"
	"strings"
	"syscall/js"
)

// Digest asks the script for a digest over Blobs and bytes, one after the other:
// digest(name, parts) answers with a promise of a Uint8Array.
func Digest(ask js.Value, h crypto.Hash, parts ...any) ([]byte, error) {
	list := js.Global().Get("Array").New()
	for _, p := range parts {
		list.Call("push", Value(p))
	}
	v, err := Await(ask.Invoke(strings.ToUpper(h.String()), list))
	return Bytes(v), err
}

// Sum computes pades.Options.Sum with the script's digest.
func Sum(ask js.Value, doc *Blob) func(crypto.Hash, ...[]byte) ([]byte, error) {
	return func(h crypto.Hash, tail ...[]byte) ([]byte, error) {
		parts := []any{doc.JS()}
		for _, t := range tail {
			parts = append(parts, t)
		}
		return Digest(ask, h, parts...)
	}
}
