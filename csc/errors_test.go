package csc_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
)

func TestPrivateCausesAreNotTheAnswer(t *testing.T) {
	said := csc.NewError(http.StatusUnauthorized, csc.CodeInvalidToken, "what another service said")
	for name, c := range map[string]struct {
		err    error
		status int
		text   string
	}{
		"an error of the API":           {said, http.StatusUnauthorized, said.Description},
		"wrapped":                       {fmt.Errorf("sign: %w", said), http.StatusUnauthorized, said.Description},
		"because of a fault":            {said.Because(fault.New(fault.NotFound, "hidden")), http.StatusUnauthorized, said.Description},
		"a fault":                       {fault.New(fault.Conflict, "used up"), http.StatusBadRequest, "used up"},
		"a fault because of it":         {fault.New(fault.Invalid, "the peer refused").Because(said), http.StatusBadRequest, "the peer refused"},
		"a fault because of it, deeper": {fmt.Errorf("sign: %w", fault.New(fault.Unavailable, "x").Because(fmt.Errorf("peer: %w", said))), http.StatusServiceUnavailable, csc.ErrUnavailable.Description},
		"anything else":                 {errors.New("disk"), http.StatusInternalServerError, csc.ErrServer.Description},
	} {
		if e := csc.ErrorOf(c.err); e.Status != c.status || e.Description != c.text {
			t.Errorf("%s: %d %s", name, e.Status, e.Description)
		}
	}
}
