// Package approval is the approval origin: what the signer's browser and device
// see of the activation module. The module's own process serves it on a host of
// its own, so that nobody else decides what the signer sees.
package approval
