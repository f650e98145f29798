package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/web"
)

// Door is where a role is reached.
type Door struct {
	Listen      string         `config:"listen,required" doc:"Address to listen on, as 127.0.0.1:8443."`
	Certificate config.Path    `config:"certificate" doc:"PEM chain for https, leaf first; without it the door speaks http, which is for loopback and for a proxy that ends TLS before it."`
	Key         config.Path    `config:"key" doc:"PEM key of the certificate."`
	Proxies     []netip.Prefix `config:"proxies" doc:"Proxies whose X-Forwarded-For is believed."`
	Monitor     string         `config:"monitor" doc:"Address for /healthz, /readyz and /metrics of its own; without it they are on the main door, which is fit for one machine only."`
	Admin       config.Path    `config:"admin_socket,required" doc:"Unix socket for the operator of this machine."`
}

// TLS loads the certificate, if one is set.
func (d Door) TLS() (*tls.Config, error) { return TLS(string(d.Certificate), string(d.Key)) }

// health is where the door answers /readyz.
func (d Door) health() string {
	switch {
	case d.Monitor != "":
		return "http://" + d.Monitor
	case d.Certificate != "":
		return "https://" + d.Listen
	}
	return "http://" + d.Listen
}

// Web is the configuration of the middleware for this door. secure says that
// browsers reach it by https.
func (p *Process) Web(d Door, secure bool) web.Config {
	return web.Config{Log: p.Log, Name: p.Role, Secure: secure, Proxies: d.Proxies, Observe: p.Metrics.Observe}
}

// LocalWeb is Web for a socket that no browser reaches.
func (p *Process) LocalWeb(d Door) web.Config {
	c := p.Web(d, false)
	c.Local = true
	return c
}

// CheckLimit refuses settings of [Limit] that would let nobody in; rateKey and
// burstKey are their names.
func CheckLimit(rateKey string, rate float64, burstKey string, burst int) error {
	switch {
	case rate < 0:
		return fmt.Errorf("%s must not be negative", rateKey)
	case rate > 0 && burst < 1:
		return fmt.Errorf("%s: %d would let nobody in: set 1 or more, or leave it out for the default", burstKey, burst)
	}
	return nil
}

// Limit is a middleware that bounds how often one client address may come, in all
// that it is put around together; at a rate of 0 it does nothing. It belongs
// around everything but the health doors.
func Limit(rate float64, burst int, refuse web.ErrorWriter) func(http.Handler) http.Handler {
	if rate <= 0 {
		return func(h http.Handler) http.Handler { return h }
	}
	return web.Limit(&web.Limiter{Rate: rate, Burst: burst}, web.ClientKey, refuse)
}

// Watch mounts the health doors and the measurements: on mount when the door has
// no monitor of its own, else there.
func (p *Process) Watch(d Door, checks web.Checks, mount func(method, pattern string, h http.Handler)) *http.ServeMux {
	var own *http.ServeMux
	if d.Monitor != "" {
		own = http.NewServeMux()
		mount = func(method, pattern string, h http.Handler) { own.Handle(method+" "+pattern, h) }
	}
	mount(http.MethodGet, "/healthz", web.Health())
	mount(http.MethodGet, "/readyz", web.Ready(checks))
	mount(http.MethodGet, "/metrics", p.Metrics.Handler())
	return own
}

// Monitor opens the monitor's own door, if there is one.
func (p *Process) Monitor(ctx context.Context, d Door, mux *http.ServeMux) error {
	if mux == nil {
		return nil
	}
	return p.Listen(ctx, d.Monitor, web.Wrap(mux, p.Web(d, false)), nil)
}

// Options are the flags that every role's command has.
type Options struct {
	Config      string `type:"path" placeholder:"FILE" help:"Configuration file."`
	PrintConfig bool   `help:"Print every setting with its meaning and default, and end."`
	WithParent  bool   `help:"End when standard input ends, as it does with the supervisor that started this."`
}

// Load reads the settings of a role, from the file and from the environment, where
// each role has a prefix of its own. done says that only their description was wanted,
// which was written to out.
func (o Options) Load(role string, settings any, out io.Writer) (done bool, err error) {
	if o.PrintConfig {
		return true, config.Reference(out, role, settings)
	}
	if o.Config == "" {
		return false, errors.New("name the configuration file with --config; --print-config shows what belongs into it")
	}
	return false, config.Load(config.Source{File: o.Config, Role: role, Environ: os.Environ()}, settings)
}
