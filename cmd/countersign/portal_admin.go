package main

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/cmd/internal/daemon"
	"github.com/countersign/countersign/cmd/internal/local"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/relyingparty/account"
)

// administer adds the operator's operations.
func (f *workflow) administer(mux *http.ServeMux) {
	if f == nil {
		return
	}
	local.Handle(mux, "POST /accounts", func(ctx context.Context, a sockets.Account) (struct{}, error) {
		_, err := f.accounts.Create(ctx, account.NewUser{
			Org: workflowOrg, Email: a.Email, Name: a.Name, Lang: a.Lang, Role: account.Role(a.Role), Password: a.Password, Second: a.Second,
		})
		if fault.Of(err).Code == account.CodeExists && a.Keep {
			err = nil
		}
		return struct{}{}, err
	})
	local.Handle(mux, "POST /personal-keys", func(ctx context.Context, k sockets.PersonalKey) (struct{}, error) {
		return struct{}{}, f.requests.LinkCredential(ctx, workflowOrg, k.Email, k.Credential)
	})
}

type accountCmd struct {
	socketsFlag
	Email        string `arg:"" help:"Address with which the person logs in."`
	Name         string `required:"" help:"Name, shown to signers."`
	Role         string `default:"member" enum:"member,admin" help:"What the person may do: ${enum}. Administrators see everybody's requests."`
	Lang         string `help:"Language, e.g. de."`
	PasswordFile string `type:"path" placeholder:"FILE" help:"File with the first password; else it is asked for."`
}

// Run makes the account. The second factor is set up at the first login.
func (c *accountCmd) Run(ctx context.Context, t terminal) error {
	var password string
	if c.PasswordFile != "" {
		b, err := daemon.Secret(c.PasswordFile)
		if err != nil {
			return withCode(exitLocal, err)
		}
		password = strings.TrimRight(string(b), "\r\n")
	} else {
		loud, err := t.hush()
		if err != nil {
			return withCode(exitLocal, err)
		}
		defer loud()
		if password, err = t.ask(ctx, "Password: "); err != nil {
			if errors.Is(err, errNoTerminal) {
				err = withCode(exitUsage, errors.New("there is no terminal to ask the password on: name a file with --password-file"))
			}
			return err
		}
	}
	return c.dir().PutAccount(ctx, sockets.Account{Email: c.Email, Name: c.Name, Role: c.Role, Lang: c.Lang, Password: password})
}

type personalKeyCmd struct {
	socketsFlag
	Email      string `arg:"" help:"Address to which invitations go."`
	Credential string `arg:"" optional:"" help:"The person's credential at the signing service; empty takes it back."`
}

// Run says whose credential it is.
func (c *personalKeyCmd) Run(ctx context.Context) error {
	return c.dir().LinkPersonalKey(ctx, sockets.PersonalKey{Email: c.Email, Credential: c.Credential})
}
