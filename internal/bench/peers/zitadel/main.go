// Command zitadel serves the example OpenID provider of the library zitadel/oidc as it is,
// with its records in memory and without its log, as a process that bench measures beside
// the product's. It is a module of its own: nothing of what it needs is needed by the
// product.
package main

import (
	"context"
	"flag"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

func main() {
	listen := flag.String("listen", "", "address and port")
	client := flag.String("client", "", "client_id")
	secret := flag.String("secret", "", "its secret")
	back := flag.String("back", "", "its redirect_uri")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	storage.RegisterClients(storage.WebClient(*client, *secret, *back))
	issuer := "http://" + *listen + "/"
	provider := exampleop.SetupServer(issuer, storage.NewStorage(storage.NewUserStore(issuer)), slog.New(slog.DiscardHandler), false)
	if err := serve(ctx, *listen, provider); err != nil && ctx.Err() == nil {
		log.Fatal("zitadel: ", err)
	}
}

// serve serves until ctx ends.
func serve(ctx context.Context, address string, provider http.Handler) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: provider, ReadHeaderTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	return srv.Serve(ln)
}
