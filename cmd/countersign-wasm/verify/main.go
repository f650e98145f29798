//go:build js

package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"syscall/js"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/validate"
	"github.com/countersign/countersign/cmd/countersign-wasm/host"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// maxSkew is how far the clocks of this computer and of a time-stamping authority
// may be apart.
const maxSkew = 5 * time.Minute

func main() {
	host.Serve("verify", map[string]host.Operation{"finish": finish, "judge": judge})
}

// finish completes a prepared signature with its value and augments it.
func finish(args js.Value) (any, error) {
	doc, err := host.NewBlob(args.Get("blob"))
	if err != nil {
		return nil, err
	}
	level, err := pades.ParseLevel(host.Text(args, "level"))
	if err != nil {
		return nil, err
	}
	w := &work{timestamp: args.Get("timestamp"), evidence: args.Get("evidence")}
	p := host.ToPrepared(args.Get("prepared"))
	patch, err := p.Finish(context.Background(), doc, host.Bytes(args.Get("signature")), level,
		pades.Sources{TimeStamp: w.stamp, Collect: w.collect}, pades.AugmentOptions{Sum: host.Sum(args.Get("digest"), doc)})
	if err != nil {
		return nil, err
	}
	return map[string]any{"bytes": patch.Bytes, "size": float64(patch.Size), "hash": patch.Hash}, nil
}

// work is one signature under way; the script asks the portal for what it needs.
type work struct{ timestamp, evidence js.Value }

// stamp gets a token over a digest and checks that it answers just this question.
func (w *work) stamp(_ context.Context, d signing.Digest) ([]byte, error) {
	q, err := cms.NewTimestampRequest(d)
	if err != nil {
		return nil, err
	}
	answer, err := host.Await(w.timestamp.Invoke(host.Value(q.Imprint), signing.HashOID(q.Hash), hexNumber(q.Nonce)))
	if err != nil {
		return nil, err
	}
	der := host.Bytes(answer)
	response, err := cms.EncodeTimestampResponse(der)
	if err != nil {
		return nil, err
	}
	token, err := q.Accept(response)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the time-stamp is not over what was asked, or was not made by a time-stamping authority").WithCode("timestamp_wrong").Because(err)
	}
	if now := time.Now(); token.Info.Time.Sub(now).Abs() > maxSkew {
		return nil, fault.New(fault.Unavailable, "the time-stamping authority says %s, this computer's clock says %s; set the clock",
			clock(token.Info.Time), clock(now)).WithCode("clock")
	}
	return der, nil
}

func clock(t time.Time) string    { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
func hexNumber(n *big.Int) string { return fmt.Sprintf("%x", n) }

// collect asks the portal for validation data. The portal gathers it from the
// addresses in certificates; whether it proves anything is judged here.
func (w *work) collect(_ context.Context, leaves, known []*x509.Certificate) (pades.Evidence, error) {
	answer, err := host.Await(w.evidence.Invoke(host.Value(raw(leaves)), host.Value(raw(known))))
	if err != nil {
		return pades.Evidence{}, err
	}
	return pades.Evidence{
		Certs: host.ByteSlices(answer.Get("certificates")), CRLs: host.ByteSlices(answer.Get("crls")), OCSPs: host.ByteSlices(answer.Get("ocsps")),
	}, nil
}

func raw(certs []*x509.Certificate) [][]byte {
	list := make([][]byte, 0, len(certs))
	for _, c := range certs {
		list = append(list, c.Raw)
	}
	return list
}

// judge verifies every signature of a document and gives the report as JSON.
func judge(args js.Value) (any, error) {
	doc, err := host.NewBlob(args.Get("blob"))
	if err != nil {
		return nil, err
	}
	o := validate.Options{ExtraCRLs: host.ByteSlices(args.Get("crls")), ExtraOCSPs: host.ByteSlices(args.Get("ocsps"))}
	for _, der := range host.ByteSlices(args.Get("anchors")) {
		anchor, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("trust anchor: %w", err)
		}
		o.Anchors = append(o.Anchors, anchor)
	}
	if digest := args.Get("digest"); digest.Type() == js.TypeFunction {
		o.Digest = func(h crypto.Hash, ranges []int64) ([]byte, error) {
			if len(ranges) != 4 || (h != crypto.SHA256 && h != crypto.SHA384 && h != crypto.SHA512) {
				return nil, nil // old algorithms are computed here
			}
			v, err := host.Await(digest.Invoke(strings.ToUpper(h.String()), host.Value([]any{
				float64(ranges[0]), float64(ranges[1]), float64(ranges[2]), float64(ranges[3]),
			})))
			return host.Bytes(v), err
		}
	}
	report, err := validate.File(doc, doc.Size(), o)
	if err != nil {
		return nil, err
	}
	text, err := report.JSON()
	return string(text), err
}
