package cscclient

import (
	"context"

	"github.com/countersign/countersign/csc"
)

// CredentialsAuthorize authorises the use of a credential by authentication data in
// the request (CSC API v2 §11.8), with the client's own token. It is sent once: the
// data may be good once.
func (c *Client) CredentialsAuthorize(ctx context.Context, q *csc.AuthorizeRequest) (*csc.AuthorizeResponse, error) {
	t, err := c.ServiceToken(ctx)
	if err != nil {
		return nil, err
	}
	var out csc.AuthorizeResponse
	if err := c.method(ctx, c.sign, csc.MethodAuthorize, t, q, false, &out); err != nil {
		return nil, err
	}
	if out.SAD == "" || out.ExpiresIn <= 0 {
		return nil, c.http.garbage("authorised without a SAD that can be used")
	}
	return &out, nil
}

// Issuer is the authorisation server's, which machines' orders are addressed to.
func (c *Client) Issuer(ctx context.Context) (string, error) {
	e, err := c.endpoints(ctx)
	if err != nil {
		return "", err
	}
	return e.issuer, nil
}

// ClientID is who this client is.
func (c *Client) ClientID() string { return c.config.ClientID }
