package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/countersign/countersign/internal/fault"
)

func TestKindAndCauseAreBothFound(t *testing.T) {
	err := fmt.Errorf("sign: %w", fault.New(fault.NotFound, "no credential %q", "c1").WithCode("unknown").Because(io.ErrUnexpectedEOF))
	if !errors.Is(err, fault.NotFound) || !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, fault.Invalid) {
		t.Fatalf("kinds of %v", err)
	}
	got := fault.Of(err)
	if got.Kind != fault.NotFound || got.Code != "unknown" || got.Detail != `no credential "c1"` {
		t.Fatalf("got %+v", got)
	}
}

func TestWhatIsNotAFaultIsNotShown(t *testing.T) {
	got := fault.Of(errors.New("password is 1234"))
	if got.Kind != fault.Internal || got.Detail != "internal error" {
		t.Fatalf("got %+v", got)
	}
}
