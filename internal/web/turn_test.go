package web_test

import (
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/countersign/countersign/internal/web"
)

// TestOfManyThatStartAtOnceOneServes lets many listen at the path of a socket that a
// dead process left: the others must not remove what the one has begun to serve.
func TestOfManyThatStartAtOnceOneServes(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "s")
		dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		dead.SetUnlinkOnClose(false)
		if err := dead.Close(); err != nil {
			t.Fatal(err)
		}
		var (
			mu    sync.Mutex
			alive []net.Listener
			work  sync.WaitGroup
		)
		for range 8 {
			work.Go(func() {
				l, err := web.ListenUnix(t.Context(), web.SocketConfig{Path: path})
				if err == nil {
					mu.Lock()
					alive = append(alive, l)
					mu.Unlock()
				}
			})
		}
		work.Wait()
		if len(alive) != 1 {
			t.Errorf("%d serve", len(alive))
		}
		if conn, err := net.Dial("unix", path); err != nil {
			t.Errorf("nobody answers: %v", err)
		} else {
			_ = conn.Close()
		}
		for _, l := range alive {
			_ = l.Close()
		}
	}
}
