package cscsam

import (
	"bytes"
	"sync"
	"time"

	"github.com/countersign/countersign/sam/samapi"
)

// Bounds of what is held of credentials.
const (
	maxHeld  = 4096
	heldTime = time.Minute
)

// held remembers credentials that can sign, so that a busy one is not described and
// its chain not verified anew for every signature. What is remembered decides about
// no signature: the module reads state, certificate and device each time, and
// refuses. It is asked again when it does, in case the credential has changed.
type held struct {
	now func() time.Time

	mu   sync.Mutex
	byID map[string]heldCredential
}

type heldCredential struct {
	credential *credential
	until      time.Time
}

// known returns a credential that was seen lately, or nil.
func (h *held) known(id string) *credential {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.byID[id]
	if !now.Before(c.until) {
		return nil
	}
	return c.credential
}

// keep remembers a credential that can sign; what is remembered of another is
// forgotten.
func (h *held) keep(c *credential) {
	until := h.now().Add(heldTime)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.byID, c.ID)
	if c.State != samapi.CredentialActive || c.issuer == nil {
		return
	}
	if h.byID == nil || len(h.byID) >= maxHeld {
		h.byID = make(map[string]heldCredential)
	}
	h.byID[c.ID] = heldCredential{c, until}
}

// same reports whether nothing has changed that the module or this package looks at
// before a signature.
func (c *credential) same(o *credential) bool {
	return c.State == o.State && len(c.chain) > 0 && len(o.chain) > 0 && bytes.Equal(c.chain[0].Raw, o.chain[0].Raw)
}
