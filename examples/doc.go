// Package examples holds programs to copy from, one in each directory, with tests that run them. It
// is a module of its own, so that the routers and libraries they use stay out of the library's
// go.sum.
package examples
