package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/cmd/internal/daemon"
	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/ui"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/approval"
	"github.com/countersign/countersign/sam/samrpc"
)

// settings is the configuration of the module.
type settings struct {
	Door       daemon.Door   `config:"door" doc:"The approval origin: whoever serves this page decides what the signer sees, so no proxy may end its TLS."`
	Approval   string        `config:"approval_url,required" doc:"Address of the approval origin, scheme and host only."`
	RPID       string        `config:"rp_id" doc:"WebAuthn relying party ID; by default the host of the approval origin."`
	Issuer     string        `config:"issuer" doc:"Name of the module in what it signs; by default the approval origin. It must stay."`
	Database   string        `config:"database,required" doc:"sqlite:PATH or postgres://…, of the module alone."`
	Keys       config.Path   `config:"keys" doc:"Folder of the software keystore; not with hsm."`
	Passphrase config.Secret `config:"passphrase_file" doc:"File with the software keystore's passphrase; 64 random hex digits are best."`
	HSM        hsmSettings   `config:"hsm" doc:"The keys are in a hardware security module. Needs a build with cgo."`
	Socket     config.Path   `config:"socket,required" doc:"Unix socket for the gateway."`
	Users      []int         `config:"gateway_uids" doc:"Users whose processes may connect to it; by default only the module's own."`
	Anchors    []config.Path `config:"anchors,required" doc:"PEM files with the certificates up to which signers' certificates must chain."`
	Org        string        `config:"organisation,required" doc:"Who runs the module, shown on the approval pages."`
	Test       bool          `config:"test" doc:"Marks every page of a test installation."`
	Wait       time.Duration `config:"approval_time" doc:"How long a signer has to approve."`
	Rate       float64       `config:"approval_rate" doc:"Approvals and enrolments a second of one client address, on average; looking at requests may be four times as frequent."`
	Burst      int           `config:"approval_burst" doc:"Approvals and enrolments of one client address at once."`
	Redeem     time.Duration `config:"redeem_time" doc:"How long after the approval signatures may be asked for."`
	Limits     limitSettings `config:"limits" doc:"What one request may ask for."`
}

func defaults() settings {
	return settings{Wait: 5 * time.Minute, Redeem: 5 * time.Minute, Rate: 5, Burst: 30, Limits: limitDefaults()}
}

// open opens the module and its three doors: the gateway's socket, the
// operator's socket, and the approval origin.
func open(ctx context.Context, p *daemon.Process, s *settings) (closing func() error, err error) {
	anchors, err := readAnchors(s.Anchors)
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, s.Database)
	if err != nil {
		return nil, err
	}
	closing = db.Close
	keys, err := openKeys(ctx, s, p.Log)
	if err != nil {
		return closing, err
	}
	closing = func() error { return errors.Join(keys.Close(), db.Close()) }
	if err := proveKeys(ctx, keys, p.Log); err != nil {
		return closing, err
	}
	log, err := p.OpenAudit(ctx, db, keys, strings.TrimSuffix(s.Approval, "/")+"/log")
	if err != nil {
		return closing, err
	}
	m, err := sam.New(ctx, sam.Config{
		Keys: keys, DB: db, Audit: log, Anchors: anchors, ApprovalURL: s.Approval, Issuer: s.Issuer, RPID: s.RPID,
		Logger: p.Log, Limits: s.limits(),
	})
	if err != nil {
		return closing, err
	}
	p.Go(m.Run)
	return closing, doors(ctx, p, s, db, m)
}

func doors(ctx context.Context, p *daemon.Process, s *settings, db *store.DB, m *sam.Module) error {
	users := make([]uint32, 0, len(s.Users))
	for _, u := range s.Users {
		if u < 0 || u > 1<<32-1 {
			return fmt.Errorf("gateway_uids: %d is no user", u)
		}
		users = append(users, uint32(u))
	}
	socket := web.SocketConfig{Path: string(s.Socket), UIDs: users}
	if len(users) > 0 {
		socket.Mode = 0o660
	}
	if err := p.Socket(ctx, socket, web.Wrap(samrpc.Handler(m), p.LocalWeb(s.Door))); err != nil {
		return err
	}
	checks := web.Checks{"database": db.Ping, "module": m.Ready}
	admin := http.NewServeMux()
	// The probe is for the operator who asks, not for everybody's /readyz.
	looks := maps.Clone(checks)
	looks["keystore"] = func(ctx context.Context) error {
		c, err := m.Probe(ctx)
		if err != nil {
			return err
		}
		return proven(c)
	}
	p.Status(admin, s.Door, looks, func(ctx context.Context) map[string]string { return facts(ctx, m, s) })
	admin.Handle("/", samrpc.AdminHandler(m))
	if err := p.Socket(ctx, web.SocketConfig{Path: string(s.Door.Admin)}, web.Wrap(admin, p.Web(s.Door, false))); err != nil {
		return err
	}
	return approvalDoor(ctx, p, s, checks, m)
}

// approvalDoor opens the origin on which signers approve.
func approvalDoor(ctx context.Context, p *daemon.Process, s *settings, checks web.Checks, m *sam.Module) error {
	pages, err := approval.New(approval.Config{
		Module: m, Origin: strings.TrimSuffix(s.Approval, "/"), RPID: s.RPID, Stop: ctx.Done(), Site: ui.Site{Org: s.Org, Test: s.Test},
		Approvals: &web.Limiter{Rate: s.Rate, Burst: s.Burst}, Views: &web.Limiter{Rate: 4 * s.Rate, Burst: 4 * s.Burst},
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	own := p.Watch(s.Door, checks, func(method, pattern string, h http.Handler) { mux.Handle(method+" "+pattern, h) })
	mux.Handle("/", pages)
	tlsConfig, err := s.Door.TLS()
	if err != nil {
		return err
	}
	secure := strings.HasPrefix(s.Approval, "https:")
	if err := p.Listen(ctx, s.Door.Listen, web.Wrap(mux, p.Web(s.Door, secure)), tlsConfig); err != nil {
		return err
	}
	return p.Monitor(ctx, s.Door, own)
}

// facts are what an operator may want to see at a glance.
func facts(ctx context.Context, m *sam.Module, s *settings) map[string]string {
	out := map[string]string{"address": s.Approval}
	if c, err := m.Probe(ctx); err != nil {
		out["keystore"] = err.Error()
	} else {
		keyFacts(c, out)
	}
	st, err := m.Status(ctx)
	if err != nil {
		out["status"] = err.Error()
		return out
	}
	out["signers"] = strconv.Itoa(st.Signers)
	for state, n := range st.Credentials {
		out["credentials "+state] = strconv.Itoa(n)
	}
	if st.Burned > 0 {
		out["burned"] = fmt.Sprintf("%d hashes were authorised, spent and never signed", st.Burned)
	}
	return out
}

func readAnchors(files []config.Path) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, name := range files {
		rest, err := os.ReadFile(string(name))
		if err != nil {
			return nil, fmt.Errorf("anchors: %w", err)
		}
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("anchors: %s: %w", name, err)
			}
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("anchors: no certificate in these files")
	}
	return out, nil
}
