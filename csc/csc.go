// Package csc is the vocabulary of the Cloud Signature Consortium's API: wire
// types, errors in the specification's words, and Service, the one interface
// that the local module, a remote service and the router implement. No
// operation takes a document.
package csc

import (
	"context"
	"time"
)

// Caller is who asks, as the access token says.
type Caller struct {
	Org        string
	Client     string // client_id
	ClientName string
	Subject    string // the signer, for tokens that a signer approved; else empty
	Scope      string // ScopeService or ScopeCredential
	Credential string // for ScopeCredential: the one credential the token is for
	SID        string // for ScopeCredential: the approval behind the token
	Expires    time.Time
}

// Scopes of access tokens (CSC API v2 §8.2.2).
const (
	ScopeService    = "service"
	ScopeCredential = "credential"
)

// Types of authorization_details that name a credential.
const (
	DetailType20 = "credential"                                           // CSC API v2.0
	DetailType22 = "https://cloudsignatureconsortium.org/2025/credential" // CSC API v2.2
)

// AuthorizationDetail is one member of authorization_details (RFC 9396) of type
// credential. SignedAttrs, DocHash and Size are Countersign's additions: with
// them the module can check what the hash stands for.
type AuthorizationDetail struct {
	Type               string           `json:"type"`
	CredentialID       string           `json:"credentialID,omitempty"`
	SignatureQualifier string           `json:"signatureQualifier,omitempty"`
	NumSignatures      int              `json:"numSignatures,omitempty"`
	DocumentDigests    []DocumentDigest `json:"documentDigests,omitempty"`
	HashAlgorithmOID   string           `json:"hashAlgorithmOID,omitempty"`
	Locations          []string         `json:"locations,omitempty"`
}

// DocumentDigest is one document of an authorisation.
type DocumentDigest struct {
	Hash        string `json:"hash"` // standard base64 of the DTBS/R digest
	Label       string `json:"label,omitempty"`
	HashType    string `json:"hashType,omitempty"`
	SignedAttrs string `json:"signedAttrs,omitempty"` // standard base64 of the DER signed attributes
	DocHash     string `json:"docHash,omitempty"`     // standard base64
	Size        int64  `json:"size,omitempty"`
}

// Service is a remote signing service. Errors are *Error or faults.
type Service interface {
	CredentialsList(ctx context.Context, by Caller, req *CredentialsListRequest) (*CredentialsListResponse, error)
	CredentialsInfo(ctx context.Context, by Caller, req *CredentialsInfoRequest) (*CredentialInfo, error)
	SignHash(ctx context.Context, by Caller, req *SignHashRequest) (*SignHashResponse, error)
	Timestamp(ctx context.Context, by Caller, req *TimestampRequest) (*TimestampResponse, error)
}

// CredentialsListRequest is the input of credentials/list (CSC API v2 §11.6).
type CredentialsListRequest struct {
	UserID         string `json:"userID,omitempty"`
	CredentialInfo bool   `json:"credentialInfo,omitempty"`
	Certificates   string `json:"certificates,omitempty"` // none, single (default), chain
	CertInfo       bool   `json:"certInfo,omitempty"`
	AuthInfo       bool   `json:"authInfo,omitempty"`
	OnlyValid      bool   `json:"onlyValid,omitempty"`
	Lang           string `json:"lang,omitempty"`
	ClientData     string `json:"clientData,omitempty"`
}

// CredentialsListResponse is the output of credentials/list.
type CredentialsListResponse struct {
	CredentialIDs   []string         `json:"credentialIDs"`
	CredentialInfos []CredentialInfo `json:"credentialInfos,omitempty"`
	OnlyValid       bool             `json:"onlyValid,omitempty"`
	// Incomplete says in a sentence that credentials are left out because somebody
	// does not answer. It is Countersign's addition, there only if something is.
	Incomplete string `json:"incomplete,omitempty"`
}

// CredentialsInfoRequest is the input of credentials/info (CSC API v2 §11.7).
type CredentialsInfoRequest struct {
	CredentialID string `json:"credentialID"`
	Certificates string `json:"certificates,omitempty"`
	CertInfo     bool   `json:"certInfo,omitempty"`
	AuthInfo     bool   `json:"authInfo,omitempty"`
	Lang         string `json:"lang,omitempty"`
	ClientData   string `json:"clientData,omitempty"`
}

// CredentialInfo is the output of credentials/info.
type CredentialInfo struct {
	CredentialID       string   `json:"credentialID,omitempty"` // only inside credentials/list
	Description        string   `json:"description,omitempty"`
	SignatureQualifier string   `json:"signatureQualifier,omitempty"`
	Key                KeyInfo  `json:"key"`
	Cert               CertInfo `json:"cert"`
	Auth               AuthInfo `json:"auth"`
	SCAL               string   `json:"SCAL,omitempty"`
	Multisign          int      `json:"multisign"`
	Lang               string   `json:"lang,omitempty"`
}

// KeyInfo describes the signing key.
type KeyInfo struct {
	Status string   `json:"status"` // enabled, disabled
	Algo   []string `json:"algo"`   // OIDs
	Len    int      `json:"len"`    // bits
	Curve  string   `json:"curve,omitempty"`
}

// CertInfo describes the signing certificate.
type CertInfo struct {
	Status       string   `json:"status,omitempty"` // valid, expired, revoked, suspended
	Certificates []string `json:"certificates,omitempty"`
	IssuerDN     string   `json:"issuerDN,omitempty"`
	SerialNumber string   `json:"serialNumber,omitempty"` // hex
	SubjectDN    string   `json:"subjectDN,omitempty"`
	ValidFrom    string   `json:"validFrom,omitempty"` // yyyyMMddHHmmssZ
	ValidTo      string   `json:"validTo,omitempty"`
}

// AuthInfo says how the credential is authorised.
type AuthInfo struct {
	Mode       string       `json:"mode"` // explicit, oauth2code
	Expression string       `json:"expression,omitempty"`
	Objects    []AuthObject `json:"objects"`
}

// AuthObject is one authentication object of explicit authorisation.
type AuthObject struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Label string `json:"label,omitempty"`
}

// SignHashRequest is the input of signatures/signHash (CSC API v2 §11.13).
type SignHashRequest struct {
	CredentialID     string   `json:"credentialID"`
	SAD              string   `json:"SAD,omitempty"`
	Hashes           []string `json:"hashes"` // base64 raw digests
	HashAlgorithmOID string   `json:"hashAlgorithmOID,omitempty"`
	SignAlgo         string   `json:"signAlgo"`
	SignAlgoParams   string   `json:"signAlgoParams,omitempty"` // base64 DER
	OperationMode    string   `json:"operationMode,omitempty"`
	ClientData       string   `json:"clientData,omitempty"`
}

// SignHashResponse is the output of signatures/signHash: signatures in the
// order of the hashes, standard base64; ECDSA as DER SEQUENCE{r,s}.
type SignHashResponse struct {
	Signatures []string `json:"signatures"`
}

// TimestampRequest is the input of signatures/timestamp.
type TimestampRequest struct {
	Hash       string `json:"hash"`
	HashAlgo   string `json:"hashAlgo"`
	Nonce      string `json:"nonce,omitempty"` // hex
	ClientData string `json:"clientData,omitempty"`
}

// TimestampResponse is the output of signatures/timestamp.
type TimestampResponse struct {
	Timestamp string `json:"timestamp"` // base64 RFC 3161 TimeStampToken
}

// Deliverer is a Service that keeps signatures until they were handed over.
// Delivered says that the answer to req left this process without an error; it
// is advice: signatures are also forgotten after their time. It does not wait for
// anything.
type Deliverer interface {
	Delivered(ctx context.Context, by Caller, req *SignHashRequest, answer *SignHashResponse)
}
