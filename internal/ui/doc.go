// Package ui is how all pages look: one style sheet, one set of icons, one frame
// around the content, and a small renderer. It has no routes and no page of its
// own: portal, gateway and approval origin bring their templates.
package ui
