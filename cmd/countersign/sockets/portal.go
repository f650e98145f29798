package sockets

import (
	"context"
	"net/http"

	"github.com/countersign/countersign/cmd/internal/local"
)

// Account is a person of the sending organisation, as the operator makes one.
type Account struct {
	Email    string `json:"email"`
	Name     string `json:"name"`
	Role     string `json:"role"`
	Lang     string `json:"lang,omitempty"`
	Password string `json:"password"`
	// Second is the secret of a second factor that the person has already, in base32.
	Second string `json:"second,omitempty"`
	// Keep leaves an account that is there as it is, instead of refusing.
	Keep bool `json:"keep,omitempty"`
}

// PersonalKey says which credential of the signing service is a person's own.
type PersonalKey struct {
	Email      string `json:"email"`
	Credential string `json:"credential"`
}

func (d Dir) portal() *local.Client { return local.Dial(d.Path(PortalAdmin)) }

// PutAccount makes an account at the portal.
func (d Dir) PutAccount(ctx context.Context, a Account) error {
	var none struct{}
	return d.portal().Call(ctx, http.MethodPost, "/accounts", a, &none)
}

// LinkPersonalKey says whose a credential is.
func (d Dir) LinkPersonalKey(ctx context.Context, k PersonalKey) error {
	var none struct{}
	return d.portal().Call(ctx, http.MethodPost, "/personal-keys", k, &none)
}
