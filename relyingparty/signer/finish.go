package signer

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pades"
	"github.com/countersign/countersign/ades/validate"
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/signing"
)

// finish completes, augments and validates every file, still beside its target.
func (r *run) finish(ctx context.Context) error {
	for i, f := range r.files {
		r.step(StageFinish, f, i)
		sources := pades.Sources{TimeStamp: r.timestamp, Collect: r.evidence.collect}
		var err error
		f.patch, err = f.prepared.Finish(ctx, f.temp, f.signature, r.job.Level, sources, pades.AugmentOptions{Password: r.password(f)})
		if err != nil {
			return ofService(err)
		}
		if err := f.appendPatch(); err != nil {
			return err
		}
		r.step(StageValidate, f, i)
		if err := r.validate(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func wrongTimestamp(what string) *fault.Error {
	return fault.New(fault.Unavailable, "%s; nothing was written", what).WithCode(CodeTimestampWrong)
}

// timestamp gets a token over a digest and checks that it answers just this
// question: digest, fresh nonce, signature by a time-stamping certificate, and a
// time that fits this computer's. Trust in the authority is judged with the
// finished file.
func (r *run) timestamp(ctx context.Context, d signing.Digest) ([]byte, error) {
	q, err := cms.NewTimestampRequest(d)
	if err != nil {
		return nil, err
	}
	response, err := r.askTimestamp(ctx, q)
	if err != nil {
		return nil, err
	}
	token, err := q.Accept(response)
	if err != nil {
		return nil, wrongTimestamp("the time-stamp is not over what was asked, or was not made by a time-stamping authority").Because(err)
	}
	if now := r.now(); token.Info.Time.Sub(now).Abs() > r.config.MaxSkew {
		return nil, fault.New(fault.Internal, "the time-stamping authority says %s, this computer's clock says %s; set the clock, or have the authority's set",
			clock(token.Info.Time), clock(now)).WithCode(CodeClock)
	}
	if token.Info.Time.After(r.latest) {
		r.latest = token.Info.Time
	}
	if authority, err := token.Verify(nil); err == nil {
		r.leaves = append(r.leaves, authority)
		r.evidence.add(token.SignedData.Certificates...)
	}
	parsed, err := cms.ParseTimestampResponse(response)
	if err != nil {
		return nil, err
	}
	return parsed.Token, nil
}

// askTimestamp returns a TimeStampResp, from the authority that is configured or
// through the signing service.
func (r *run) askTimestamp(ctx context.Context, q cms.TimestampRequest) ([]byte, error) {
	if r.stampTSA {
		query, err := q.Encode()
		if err != nil {
			return nil, err
		}
		return r.config.Fetcher.Timestamp(ctx, r.config.TSA, query)
	}
	answer, err := r.config.Service.Timestamp(ctx, &csc.TimestampRequest{
		Hash: base64.StdEncoding.EncodeToString(q.Imprint), HashAlgo: signing.HashOID(q.Hash), Nonce: hexNumber(q.Nonce),
	})
	if err != nil {
		return nil, err
	}
	token, err := base64.StdEncoding.DecodeString(answer.Timestamp)
	if err != nil {
		return nil, wrongTimestamp("the signing service's time-stamp cannot be read").Because(err)
	}
	if _, err := cms.ParseTimestampToken(token); err != nil {
		return nil, wrongTimestamp("the signing service's time-stamp cannot be read").Because(err)
	}
	return cms.EncodeTimestampResponse(token)
}

func hexNumber(n *big.Int) string { return fmt.Sprintf("%x", n) }

// validate judges the finished file as its readers will, before they get it.
func (r *run) validate(ctx context.Context, f *file) error {
	o := validate.Options{Anchors: r.config.Anchors, Certificates: r.evidence.certs, Now: r.judgementTime, Password: r.password(f), Digest: f.digest}
	if r.job.Level > pades.LT { // the file carries no revocation data
		status, err := r.evidence.collect(ctx, r.leaves, nil)
		if err == nil {
			o.ExtraCRLs, o.ExtraOCSPs = status.CRLs, status.OCSPs
		}
	}
	report, err := validate.File(f.temp, f.patch.Len(), o)
	if err != nil {
		return notValid(f, fault.Of(err).Detail).Because(err)
	}
	for _, s := range report.Signatures {
		if s.Field == f.prepared.Field {
			return r.judge(f, s)
		}
	}
	return notValid(f, "the new signature is not found in it")
}

// judgementTime is now, or the last time-stamp's time if that is ahead by less
// than the skew that was let pass.
func (r *run) judgementTime() time.Time {
	now := r.now()
	if now.Before(r.latest) {
		return r.latest.Add(time.Second)
	}
	return now
}

func notValid(f *file, why string) *fault.Error {
	return fault.New(fault.Unavailable, "%s was signed but does not validate, and is not delivered: %s", f.label(), why).WithCode(CodeNotValid)
}

func (r *run) judge(f *file, s *validate.Signature) error {
	f.result = FileResult{
		In: f.In, Out: f.Out, Size: f.patch.Len(), Field: s.Field, Level: s.Level, Verdict: string(s.Verdict), Time: s.BestTime,
		Warnings: f.prepared.Warnings,
	}
	if f.result.Time.IsZero() {
		f.result.Time = s.ClaimedTime
	}
	why := strings.Join(s.Errors, "; ")
	switch {
	case len(r.config.Anchors) > 0 && s.Level != "PAdES-"+r.job.Level.String(): // without anchors there is no telling
		return notValid(f, fmt.Sprintf("its level is %s instead of PAdES-%s %s", s.Level, r.job.Level, why))
	case s.Verdict == validate.Passed:
	case s.Verdict == validate.Indeterminate && len(r.config.Anchors) == 0 && s.Subindication == validate.NoChain:
		f.result.Warnings = append(f.result.Warnings, "trust in the certificates was not checked: no trust anchors were given")
	case s.Verdict == validate.Indeterminate && r.job.Level > pades.LT && s.Subindication == validate.TryLater:
		f.result.Warnings = append(f.result.Warnings, "the certificate's revocation status could not be checked")
	default:
		return notValid(f, why)
	}
	if len(r.config.Anchors) == 0 {
		return nil
	}
	for _, t := range s.Timestamps {
		if t.Verdict != validate.Passed {
			return notValid(f, "its "+string(t.Kind)+" is not valid: "+strings.Join(t.Errors, "; "))
		}
	}
	return nil
}
