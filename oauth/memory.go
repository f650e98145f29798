package oauth

import (
	"context"
	"maps"
	"sync"

	"github.com/countersign/countersign/internal/store"
)

// Bounds of what is remembered, each of requests, tokens and clients.
const (
	maxRemembered     = 1024
	maxRememberedText = 16 << 10 // bytes of a row; longer ones are read again
)

// memory is what a server remembers of rows that it wrote or read, where it is the
// only one that writes them: a SQLite file belongs to one process. PostgreSQL has
// other writers, so there nothing is remembered.
//
// It decides no race. What may happen once is decided by an UPDATE and its row count,
// or by claim before anything is written; a remembered row only saves reading it.
type memory struct {
	alone    bool
	clients  remembered[*storedClient] // by id
	tokens   remembered[*token]        // by hash; access tokens
	requests remembered[*request]      // by byURI, bySID or byCode, in the state that goes with it
	claimed  sync.Map                  // keys of requests that somebody is about to change
}

func newMemory(db *store.DB) *memory { return &memory{alone: db.Engine() == store.SQLite} }

// Keys of requests.
func byURI(hash string) string  { return "uri " + hash }
func bySID(sid string) string   { return "sid " + sid }
func byCode(hash string) string { return "code " + hash }

// claim takes a key for the caller until release; false if somebody has it.
func (m *memory) claim(key string) bool {
	_, taken := m.claimed.LoadOrStore(key, true)
	return !taken
}

func (m *memory) release(key string) { m.claimed.Delete(key) }

// remembered is a bounded map. What it holds is shared and never changed.
type remembered[V any] struct {
	mu  sync.Mutex
	age uint64 // counts what was forgotten
	m   map[string]V
}

// get returns what is remembered, and the age to hand to put if it is nothing.
func (r *remembered[V]) get(key string) (v V, age uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok = r.m[key]
	return v, r.age, ok
}

// put remembers a row that was read or written after get, unless something was
// forgotten since: it may have been this row.
func (r *remembered[V]) put(age uint64, key string, v V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if age != r.age {
		return
	}
	if r.m == nil {
		r.m = make(map[string]V)
	}
	for old := range r.m {
		if len(r.m) < maxRemembered {
			break
		}
		delete(r.m, old)
	}
	r.m[key] = v
}

// forget is called when rows have changed, before anybody is told so: those of these
// keys, or all if none is named.
func (r *remembered[V]) forget(keys ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.age++
	if len(keys) == 0 {
		clear(r.m)
	}
	for _, k := range keys {
		delete(r.m, k)
	}
}

// client returns a client, nil if there is none. It is shared: nobody changes it.
func (s *Server) client(ctx context.Context, id string) (*storedClient, error) {
	c, age, ok := s.memory.clients.get(id)
	if ok {
		return c, nil
	}
	c, err := s.rows.client(ctx, s.db, id)
	if err == nil && c != nil && s.memory.alone {
		s.memory.clients.put(age, id, c)
	}
	return c, err
}

// tokenByHash returns a token, nil if there is none. It is shared: nobody changes it.
func (s *Server) tokenByHash(ctx context.Context, hash string) (*token, error) {
	t, age, ok := s.memory.tokens.get(hash)
	if ok {
		return t, nil
	}
	t, err := s.rows.token(ctx, s.db, hash)
	if err == nil && t != nil && t.kind == kindAccess {
		s.memory.rememberToken(age, t)
	}
	return t, err
}

func (m *memory) rememberToken(age uint64, t *token) {
	if m.alone && len(t.details) <= maxRememberedText {
		m.tokens.put(age, t.hash, t)
	}
}

// requestBy returns what is remembered under the key, or else what read finds. The
// request is the caller's own.
func (s *Server) requestBy(key string, read func() (*request, error)) (*request, error) {
	if r, _, ok := s.memory.requests.get(key); ok {
		return r.clone(), nil
	}
	return read()
}

// remember keeps a request that was just written in this state. Nobody else can have
// changed it since: who may is told of the key after this.
func (m *memory) remember(key string, r *request) {
	if !m.alone {
		return
	}
	size := 0
	for _, v := range r.form {
		for _, text := range v {
			size += len(text)
		}
	}
	if size > maxRememberedText {
		return
	}
	_, age, _ := m.requests.get(key)
	m.requests.put(age, key, r.clone())
}

// clone is a copy that its owner may change.
func (r *request) clone() *request {
	c := *r
	c.form = maps.Clone(r.form)
	return &c
}
