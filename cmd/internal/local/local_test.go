package local_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/cmd/internal/local"
	"github.com/countersign/countersign/internal/fault"
)

type greeting struct {
	Name string `json:"name"`
}

func serve(t *testing.T) *local.Client {
	t.Helper()
	mux := http.NewServeMux()
	local.Handle(mux, "POST /greet", func(_ context.Context, g greeting) (greeting, error) {
		switch g.Name {
		case "":
			return g, fault.New(fault.Invalid, "give a name").WithCode("name")
		case "crash":
			return g, errors.New("the disk is gone")
		}
		return greeting{Name: "hello " + g.Name}, nil
	})
	socket := filepath.Join(t.TempDir(), "s")
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: mux}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return local.Dial(socket)
}

func TestFaultsCrossTheSocket(t *testing.T) {
	c := serve(t)
	var out greeting
	if err := c.Call(t.Context(), http.MethodPost, "/greet", greeting{Name: "Ada"}, &out); err != nil || out.Name != "hello Ada" {
		t.Fatalf("got %q, %v", out.Name, err)
	}
	for name, want := range map[string]fault.Error{
		"":      {Kind: fault.Invalid, Code: "name", Detail: "give a name"},
		"crash": {Kind: fault.Internal, Detail: "the disk is gone"},
	} {
		got, ok := errors.AsType[*fault.Error](c.Call(t.Context(), http.MethodPost, "/greet", greeting{Name: name}, &out))
		if !ok || got.Kind != want.Kind || got.Code != want.Code || got.Detail != want.Detail {
			t.Errorf("%q: got %+v, want %+v", name, got, want)
		}
	}
	if err := c.Call(t.Context(), http.MethodPost, "/greet", map[string]string{"nom": "Ada"}, nil); !errors.Is(err, fault.Invalid) {
		t.Errorf("unknown member: got %v", err)
	}
	if err := c.Call(t.Context(), http.MethodGet, "/other", nil, nil); !errors.Is(err, fault.Unavailable) {
		t.Errorf("unknown path: got %v", err)
	}
}

func TestASocketWithoutAProcessIsNamed(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nobody")
	err := local.Dial(socket).Call(t.Context(), http.MethodGet, "/status", nil, nil)
	if !errors.Is(err, fault.Unavailable) || fault.Of(err).Detail != socket+" cannot be reached: no process listens there" {
		t.Errorf("got %v", err)
	}
}
