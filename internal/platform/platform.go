// Package platform says on what the reactor runs. Package loop imports it, so that elsewhere a build
// fails with the one sentence in other.go.
package platform
