package csc

// Specs is the version of the API that info names.
const Specs = "2.2.0.0"

// Names of the methods, as they stand in info.methods and in paths.
const (
	MethodInfo            = "info"
	MethodCredentialsList = "credentials/list"
	MethodCredentialsInfo = "credentials/info"
	MethodSignHash        = "signatures/signHash"
	MethodTimestamp       = "signatures/timestamp"
)

// Endpoints of the authorisation server, as they stand in info.methods and below
// info.oauth2 (CSC API v2.2 §8.2).
const (
	EndpointAuthorize       = "oauth2/authorize"
	EndpointPushedAuthorize = "oauth2/pushed_authorize"
	EndpointToken           = "oauth2/token" //nolint:gosec // a path
	EndpointRevoke          = "oauth2/revoke"
)

// Info is the output of info (CSC API v2.2 §11.1). No member is ever null.
type Info struct {
	Specs                     string           `json:"specs"`
	Name                      string           `json:"name"`
	Logo                      string           `json:"logo"`
	Region                    string           `json:"region"`
	Lang                      string           `json:"lang"`
	Description               string           `json:"description"`
	AuthType                  []string         `json:"authType"`
	OAuth2                    string           `json:"oauth2,omitempty"`
	OAuth2Issuer              string           `json:"oauth2Issuer,omitempty"`
	SupportsRAR               bool             `json:"supportsRar,omitempty"`
	SupportedHashTypes        []string         `json:"supportedHashTypes"`
	AsynchronousOperationMode bool             `json:"asynchronousOperationMode"`
	Methods                   []string         `json:"methods"`
	ValidationInfo            bool             `json:"validationInfo"`
	SignAlgorithms            SignAlgorithms   `json:"signAlgorithms"`
	SignatureFormats          SignatureFormats `json:"signature_formats"`
	ConformanceLevels         []string         `json:"conformance_levels"`
}

// SignAlgorithms lists what keys of the service can sign with.
type SignAlgorithms struct {
	Algos      []string `json:"algos"`                // OIDs
	AlgoParams []string `json:"algoParams,omitempty"` // base64 DER, one for each of Algos, "" where none
}

// SignatureFormats lists what signDoc makes; a service without signDoc makes none.
type SignatureFormats struct {
	Formats            []string   `json:"formats"`
	EnvelopeProperties [][]string `json:"envelope_properties"`
}
