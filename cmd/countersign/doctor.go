package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/cmd/internal/local"
)

type doctorCmd struct {
	socketsFlag
	JSON bool `help:"One JSON object a line for each process."`
}

// diagnosis is one line of doctor --json.
type diagnosis struct {
	local.Status
	Socket string `json:"socket"`
	Error  string `json:"error,omitempty"`
}

// Run asks every process over its operator's socket, as the operator of this
// machine.
func (c *doctorCmd) Run(ctx context.Context, t terminal) error {
	dir := c.dir()
	code := exitDone
	for _, r := range []struct{ role, socket string }{
		{"pki", sockets.PKIAdmin}, {"sam", sockets.SAMAdmin}, {"gateway", sockets.GatewayAdmin}, {"portal", sockets.PortalAdmin},
	} {
		d := diagnosis{Socket: dir.Path(r.socket)}
		var err error
		if d.Status, err = dir.Status(ctx, r.socket); err != nil {
			d.Role, d.Error = r.role, sentence(err)
		} else {
			door := local.Looked("door", knock(ctx, d.Health))
			d.Ready, d.Checks = d.Ready && door.OK, append(d.Checks, door)
		}
		switch {
		case err != nil:
			code = exitService
		case !d.Ready:
			code = max(code, exitNo)
		}
		if err := c.print(t, d); err != nil {
			return withCode(exitLocal, err)
		}
	}
	if code != exitDone {
		return withCode(code, errSilent)
	}
	return nil
}

// knock looks at the door where others ask whether the process is ready. Behind
// https only whether anybody answers: its certificate is for another name.
func knock(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	if u.Scheme == "https" {
		d := net.Dialer{Timeout: 5 * time.Second}
		c, err := d.DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return err
		}
		return c.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s/readyz answers %s", address, res.Status)
	}
	return nil
}

func (c *doctorCmd) print(t terminal, d diagnosis) error {
	if c.JSON {
		return json.NewEncoder(t.out).Encode(d)
	}
	word := "well"
	switch {
	case d.Error != "":
		word = "NOT REACHED: " + d.Error
	case !d.Ready:
		word = "NOT READY"
	}
	if _, err := fmt.Fprintf(t.out, "%-8s %s\n", d.Role, word); err != nil {
		return err
	}
	for _, check := range d.Checks {
		mark := "ok"
		if !check.OK {
			mark = "FAILED: " + check.Words
		}
		if _, err := fmt.Fprintf(t.out, "         %-20s %s\n", check.Name, mark); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Facts)) {
		if _, err := fmt.Fprintf(t.out, "         %-20s %s\n", name, d.Facts[name]); err != nil {
			return err
		}
	}
	return nil
}
