package sam

import "sync"

// memory keeps what the module has made of stored rows: MACs compared, JSON read,
// keys parsed. The row itself is read each time it is used. Is it, column by column,
// the row whose MAC was found right before, then that finding holds and is not made
// again; in any other case it is. So memory decides nothing: it saves repetition.
type memory struct {
	credentials    recent[*heldCredential]
	authenticators recent[*heldAuthenticator]
	signers        recent[*heldSigner]
	gateways       recent[*heldGateway]
	requests       recent[*heldRequest]
	parties        recent[parties]
}

// Most that is kept of each kind. A request has up to sad.MaxSize bytes; long ones
// are not kept.
const (
	maxHeld         = 4096
	maxHeldRequests = 2048
	maxHeldSAD      = 8 << 10
)

func newMemory() *memory {
	return &memory{
		credentials: recent[*heldCredential]{most: maxHeld}, authenticators: recent[*heldAuthenticator]{most: maxHeld},
		signers: recent[*heldSigner]{most: maxHeld}, gateways: recent[*heldGateway]{most: maxHeld},
		requests: recent[*heldRequest]{most: maxHeldRequests}, parties: recent[parties]{most: maxHeld},
	}
}

// recent is a map that forgets what was used longest ago: when it is full it starts
// again, and takes over from before only what is asked for.
type recent[V any] struct {
	most int // half of this is sure to be kept

	mu     sync.Mutex
	now    map[string]V
	before map[string]V
}

func (r *recent[V]) get(key string) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.now[key]
	if ok {
		return v, true
	}
	if v, ok = r.before[key]; ok {
		r.put(key, v)
	}
	return v, ok
}

func (r *recent[V]) keep(key string, v V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(key, v)
}

func (r *recent[V]) put(key string, v V) {
	if r.now == nil || len(r.now) >= (r.most+1)/2 {
		r.before, r.now = r.now, make(map[string]V)
	}
	r.now[key] = v
}
