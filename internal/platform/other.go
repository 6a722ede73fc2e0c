//go:build !unix

package platform

// What the compiler complains of here is the message.
var _ = the_reactor_of_agloop_needs_Linux_macOS_or_a_BSD__packages_agui_and_run_build_everywhere
