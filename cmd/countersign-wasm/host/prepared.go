//go:build js

package host

import (
	"syscall/js"

	"github.com/countersign/countersign/ades/pades"
)

// FromPrepared turns a prepared signature into an object that the browser can keep.
// Objects instead of JSON: encoding/json would be a tenth of the program.
func FromPrepared(p *pades.Prepared) map[string]any {
	ranges := make([]any, 0, len(p.ByteRange))
	for _, n := range p.ByteRange {
		ranges = append(ranges, float64(n))
	}
	return map[string]any{
		"size": float64(p.Size), "bytes": p.Bytes, "hash": p.Hash, "state": p.State,
		"field": p.Field, "holeOffset": float64(p.Hole.Offset), "holeLength": float64(p.Hole.Length), "reserve": p.Reserve, "byteRange": ranges,
		"digest": p.Digest, "algorithm": p.Algorithm, "signer": p.Signer, "chain": p.Chain,
		"signedAttributes": p.SignedAttributes, "dtbsr": p.DTBSR, "warnings": p.Warnings,
	}
}

// ToPrepared is the way back of FromPrepared. What was changed meanwhile is found
// when the signature is verified.
func ToPrepared(v js.Value) *pades.Prepared {
	p := &pades.Prepared{
		Patch: pades.Patch{Size: int64(Number(v, "size")), Bytes: Bytes(v.Get("bytes")), Hash: Text(v, "hash"), State: Bytes(v.Get("state"))},
		Field: Text(v, "field"), Hole: pades.Hole{Offset: int64(Number(v, "holeOffset")), Length: int64(Number(v, "holeLength"))},
		Reserve: int(Number(v, "reserve")), Digest: Bytes(v.Get("digest")), Algorithm: Text(v, "algorithm"),
		Signer: Bytes(v.Get("signer")), Chain: ByteSlices(v.Get("chain")),
		SignedAttributes: Bytes(v.Get("signedAttributes")), DTBSR: Bytes(v.Get("dtbsr")), Warnings: Strings(v.Get("warnings")),
	}
	if ranges := v.Get("byteRange"); length(ranges) == len(p.ByteRange) {
		for i := range p.ByteRange {
			p.ByteRange[i] = int64(ranges.Index(i).Float())
		}
	}
	return p
}
