// Command countersign is the one command people use: it signs and verifies
// documents, is the signer's authenticator, runs the gateway, the certification
// authority and the portal, and administers them.
package main
