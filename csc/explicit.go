package csc

import (
	"context"
	"net/http"
)

// MethodAuthorize is credentials/authorize, the explicit authorisation of a
// credential (CSC API v2 §11.8).
const MethodAuthorize = "credentials/authorize"

// DelegationObject is the id of the one authentication object that explicit
// authorisation takes here: a machine's order as a compact JWS, given in band. Keys
// that it authorises are seals; people's keys are authorised by oauth2code.
const DelegationObject = "delegation"

// ErrAuthenticationData says that the object does not authorise this.
var ErrAuthenticationData = NewError(http.StatusBadRequest, "invalid_authentication_data", "The authentication data is invalid")

// AuthData is the value of one authentication object.
type AuthData struct {
	ID    string `json:"id"`
	Value string `json:"value,omitempty"`
}

// AuthorizeRequest is the input of credentials/authorize.
type AuthorizeRequest struct {
	CredentialID     string     `json:"credentialID"`
	NumSignatures    int        `json:"numSignatures"`
	Hashes           []string   `json:"hashes"` // base64 raw digests
	HashAlgorithmOID string     `json:"hashAlgorithmOID"`
	AuthData         []AuthData `json:"authData"`
	ClientData       string     `json:"clientData,omitempty"`
}

// AuthorizeResponse is the output of credentials/authorize. SAD is the value of
// signHash's parameter of that name.
type AuthorizeResponse struct {
	SAD       string `json:"SAD"`
	ExpiresIn int    `json:"expiresIn"` // seconds
}

// Authorizer is a service that offers credentials/authorize.
type Authorizer interface {
	CredentialsAuthorize(ctx context.Context, by Caller, req *AuthorizeRequest) (*AuthorizeResponse, error)
}
