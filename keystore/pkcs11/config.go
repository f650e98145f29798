//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config is what Open needs.
type Config struct {
	// Module is the path of the vendor's PKCS#11 library.
	Module string
	// Token is the label of the token. Two tokens of one label are refused.
	Token string
	// PIN is the user's PIN. A newline at the end is not part of it. A wrong one
	// is tried once only: the token counts.
	PIN []byte
	// Sessions bounds the sessions that are open at once; default 64, at least 24.
	// Eight are for service keys, eight for brief calls, the others for signers' keys in use.
	Sessions int
	// Timeout bounds one call to the module; making a key may take four times as
	// long. Default 30 s.
	Timeout time.Duration
	// Pause is how long the driver waits after a recovery that failed before it
	// tries the next; what is asked meanwhile is refused at once. Default 500 ms.
	Pause time.Duration
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Log gets recoveries. Default: nothing is written.
	Log *slog.Logger
}

const (
	defaultSessions = 64
	leastSessions   = 24
	serviceSessions = 8
	briefSessions   = 8
)

func (c Config) withDefaults() (Config, error) {
	if c.Module == "" || c.Token == "" || len(c.PIN) == 0 {
		return c, errors.New("library, label of the token and PIN are needed")
	}
	if c.Sessions == 0 {
		c.Sessions = defaultSessions
	}
	if c.Sessions < leastSessions {
		return c, fmt.Errorf("%d sessions are too few, at least %d are needed", c.Sessions, leastSessions)
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Pause == 0 {
		c.Pause = 500 * time.Millisecond
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
