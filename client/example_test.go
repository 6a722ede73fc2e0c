package client_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/agloop/agloop/client"
)

// A URL that cannot be dialled is no refusal: that is a DialError, with the HTTP status of a server.
func ExampleDial() {
	_, err := client.Dial(context.Background(), "ftp://localhost/", client.Config{})
	refused, isRefused := errors.AsType[*client.DialError](err)
	fmt.Println(err, refused, isRefused)
	// Output:
	// agloop: URL: scheme "ftp" must be one of ws, wss, http, https, as in wss://host:port/path <nil> false
}
