//go:build js

package main

import (
	"crypto"
	"syscall/js"
	"time"

	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/cmd/countersign-wasm/host"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

func main() {
	host.Serve("assemble", map[string]host.Operation{"inspect": inspect, "prepare": prepare, "embed": embed})
}

// inspect says at once whether a document can be signed, before anybody waits for
// its digest or asks for an approval: it prepares a signature and throws it away.
func inspect(args js.Value) (any, error) {
	doc, err := host.NewBlob(args.Get("blob"))
	if err != nil {
		return nil, err
	}
	f, err := pdf.Open(doc, doc.Size(), pdf.Options{})
	if err != nil {
		return nil, err
	}
	pages := 0
	err = f.EachPage(func(pdf.Ref, *pdf.Dict) (bool, error) {
		pages++
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	_, err = pades.Prepare(doc, doc.Size(), pades.Options{
		Algorithm: signing.ECDSAWithSHA256, Time: time.Now(), Level: pades.B,
		Sum: func(h crypto.Hash, _ ...[]byte) ([]byte, error) { return make([]byte, h.Size()), nil },
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"pages": pages, "size": float64(doc.Size())}, nil
}

// prepare computes what is to be signed.
func prepare(args js.Value) (any, error) {
	doc, err := host.NewBlob(args.Get("blob"))
	if err != nil {
		return nil, err
	}
	o, err := options(args)
	if err != nil {
		return nil, err
	}
	o.Sum = host.Sum(args.Get("digest"), doc)
	p, err := pades.Prepare(doc, doc.Size(), o)
	if err != nil {
		return nil, err
	}
	out := host.FromPrepared(p)
	words := signing.Words(p.Digest)
	out["words"] = words[:]
	return out, nil
}

// options are the same as relyingparty/signer uses, so that the same input gives
// the same bytes.
func options(args js.Value) (pades.Options, error) {
	level, err := pades.ParseLevel(host.Text(args, "level"))
	if err != nil {
		return pades.Options{}, err
	}
	o := pades.Options{
		Time:   time.UnixMilli(int64(host.Number(args, "time"))).In(time.FixedZone("", 60*int(host.Number(args, "offset")))),
		Signer: host.Bytes(args.Get("signer")), Chain: host.ByteSlices(args.Get("chain")), Level: level,
		Field: host.Text(args, "field"), Name: host.Text(args, "name"), Reason: host.Text(args, "reason"), Location: host.Text(args, "location"),
	}
	o.Appearance = appearance(args)
	for a := signing.ECDSAWithSHA256; a.Valid(); a++ {
		if a.String() == host.Text(args, "algorithm") {
			o.Algorithm = a
			return o, nil
		}
	}
	return o, fault.New(fault.Invalid, "the signature algorithm %q is not known", host.Text(args, "algorithm"))
}

// appearance is where the visible signature stands and what it says, nil for none.
func appearance(args js.Value) *pades.Appearance {
	v := args.Get("appearance")
	if v.Type() != js.TypeObject {
		return nil
	}
	return &pades.Appearance{
		Page: int(host.Number(v, "page")), X: host.Number(v, "x"), Y: host.Number(v, "y"), Width: host.Number(v, "width"), Height: host.Number(v, "height"),
		Lines: host.Strings(v.Get("lines")), Fonts: host.ByteSlices(args.Get("fonts")),
	}
}

// embed completes a signature to B-B. The script has verified the signature value
// with WebCrypto.
func embed(args js.Value) (any, error) {
	patch, err := host.ToPrepared(args.Get("prepared")).EmbedVerified(host.Bytes(args.Get("signature")))
	if err != nil {
		return nil, err
	}
	return map[string]any{"bytes": patch.Bytes, "size": float64(patch.Size), "hash": patch.Hash}, nil
}
