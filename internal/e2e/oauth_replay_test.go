package e2e_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/csc/cscclient"
)

// atOnce runs do 20 times at the same moment and returns how often it was right.
func atOnce(do func() bool) int {
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		n     int
		start = make(chan struct{})
	)
	for range 20 {
		all.Go(func() {
			<-start
			if do() {
				mu.Lock()
				n++
				mu.Unlock()
			}
		})
	}
	close(start)
	all.Wait()
	return n
}

func (a *attack) requestURIReplayed(t *testing.T) {
	auth, err := a.victim.client.Authorize(t.Context(), a.victim.details(hash()))
	if err != nil {
		t.Fatal(err)
	}
	before := a.requests(t)
	won := atOnce(func() bool {
		p, err := tryFetch(t.Context(), a.in.newBrowser(t), http.MethodGet, auth.URL, "", "")
		return err == nil && strings.HasPrefix(p.to, a.in.approval)
	})
	if begun := a.requests(t) - before; won != 1 || begun != 1 {
		t.Errorf("%d of 20 browsers came to the approval, %d requests were begun; want 1 and 1", won, begun)
	}
}

// requests is how many SADs the module has made.
func (a *attack) requests(t *testing.T) int {
	t.Helper()
	st, err := a.in.sockets().ModuleAdmin().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, k := range st.Requests {
		n += k
	}
	return n
}

func (a *attack) codeReplayed(t *testing.T) {
	h := hash()
	auth, final := a.code(t, a.victim, h)
	var (
		mu     sync.Mutex
		tokens []*cscclient.Token
	)
	won := atOnce(func() bool {
		token, err := a.victim.client.Redeem(t.Context(), auth, final)
		if err == nil {
			mu.Lock()
			tokens = append(tokens, token)
			mu.Unlock()
		}
		return err == nil
	})
	if won > 1 {
		t.Errorf("%d of 20 got a token for one code", won)
	}
	for _, token := range tokens {
		if _, err := a.victim.signHash(t.Context(), token, h); err == nil {
			t.Error("the token of a code that was replayed still signs")
		}
	}
}

func (a *attack) signHashRepeated(t *testing.T) {
	h := hash()
	token, err := a.victim.token(t.Context(), &thumb{}, h)
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu         sync.Mutex
		signatures = map[string]bool{}
	)
	won := atOnce(func() bool {
		s, err := a.victim.signHash(t.Context(), token, h)
		if err == nil {
			mu.Lock()
			signatures[string(s[0])] = true
			mu.Unlock()
		}
		return err == nil
	})
	made := 0
	for _, e := range a.in.events(t) {
		if e.Type == "signature.created" && strings.Contains(string(e.Data), base64.StdEncoding.EncodeToString(h)) {
			made++
		}
	}
	if won == 0 || len(signatures) != 1 || made != 1 {
		t.Errorf("%d of 20 calls were answered, with %d different signatures; %d were made, want 1", won, len(signatures), made)
	}
}
