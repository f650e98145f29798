package validate

import (
	"slices"

	"github.com/countersign/countersign/internal/fault"
)

// levels are the baseline levels from low to high.
var levels = []string{"PAdES-B-B", "PAdES-B-T", "PAdES-B-LT", "PAdES-B-LTA"}

// Require says whether a file may be delivered: the signature in that field is
// TOTAL-PASSED with at least that level (such as "PAdES-B-LT"), its time-stamps
// passed too, and no other signature is TOTAL-FAILED that is not in broken. The
// error is of kind Unavailable, because the signer is at fault and not the caller.
func (r *Report) Require(field, level string, broken ...string) error {
	if r.Error != "" {
		return refuse("the signed file cannot be verified: %s", r.Error)
	}
	at := slices.IndexFunc(r.Signatures, func(s *Signature) bool { return s.Field == field })
	if at < 0 {
		return refuse("the signed file has no signature in field %q", field)
	}
	s := r.Signatures[at]
	if s.Verdict != Passed {
		return refuse("the signature is %s (%s): %s", s.Verdict, s.Subindication, first(s.Errors))
	}
	if slices.Index(levels, s.Level) < slices.Index(levels, level) || !slices.Contains(levels, level) {
		return refuse("the signature reached level %s instead of %s", s.Level, level)
	}
	for _, t := range s.Timestamps {
		if t.Verdict != Passed {
			return refuse("the %s is %s: %s", t.Kind, t.Verdict, first(t.Errors))
		}
	}
	for _, o := range r.Signatures {
		if o.Verdict == Failed && !slices.Contains(broken, o.Field) {
			return refuse("the signature in field %q is broken: %s", o.Field, first(o.Errors))
		}
	}
	return nil
}

func refuse(format string, args ...any) error {
	return fault.New(fault.Unavailable, format, args...).WithCode("verification_failed")
}
