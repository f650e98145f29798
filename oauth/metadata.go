package oauth

import (
	"net/http"
	"slices"

	"github.com/countersign/countersign/csc"
)

// metadata describes this server (RFC 8414); at the address of OpenID Connect
// Discovery too, where many clients look first. It is no OpenID provider.
func (s *Server) metadata(w http.ResponseWriter, _ *http.Request) {
	auth := []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}
	withNone := append(slices.Clone(auth), "none")
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                                   s.issuer,
		"authorization_endpoint":                                   s.issuer + pathAuthorize,
		"token_endpoint":                                           s.issuer + pathToken,
		"pushed_authorization_request_endpoint":                    s.issuer + pathPush,
		"revocation_endpoint":                                      s.issuer + pathRevoke,
		"introspection_endpoint":                                   s.issuer + pathIntrospect,
		"jwks_uri":                                                 s.issuer + pathKeys,
		"scopes_supported":                                         []string{csc.ScopeService, csc.ScopeCredential},
		"response_types_supported":                                 []string{"code"},
		"response_modes_supported":                                 []string{"query"},
		"grant_types_supported":                                    []string{grantCode, grantClient, grantRefresh},
		"code_challenge_methods_supported":                         []string{"S256"},
		"authorization_details_types_supported":                    []string{csc.DetailType20, csc.DetailType22},
		"dpop_signing_alg_values_supported":                        signatureAlgorithms(),
		"token_endpoint_auth_methods_supported":                    withNone,
		"token_endpoint_auth_signing_alg_values_supported":         signatureAlgorithms(),
		"revocation_endpoint_auth_methods_supported":               withNone,
		"revocation_endpoint_auth_signing_alg_values_supported":    signatureAlgorithms(),
		"introspection_endpoint_auth_methods_supported":            auth,
		"introspection_endpoint_auth_signing_alg_values_supported": signatureAlgorithms(),
		"authorization_response_iss_parameter_supported":           true,
		"require_pushed_authorization_requests":                    false,
		"request_parameter_supported":                              false,
		"subject_types_supported":                                  []string{"public"},
		"id_token_signing_alg_values_supported":                    []string{},
	})
}

// jwks is empty: tokens are opaque, and nothing is signed here. Some clients want
// the address nevertheless.
func (s *Server) jwks(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"keys": []any{}})
}
