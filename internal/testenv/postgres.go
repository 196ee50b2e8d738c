package testenv

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// postgresUser runs the server: PostgreSQL refuses to run as root.
const postgresUser = "postgres"

// A Postgres is a real server without a password, its data in memory unless it is durable.
type Postgres struct {
	durable bool // commits wait for the disk
	dir     string
	port    int
	release func() // gives the port back
	bin     map[string]string
	mu      sync.Mutex
	child   *Child // nil while stopped
	number  int    // of databases made
}

var sharedPostgres struct {
	sync.Mutex
	server *Postgres
}

// SharedPostgres returns the one server of this test process, starting it at first.
// The package's TestMain must call Run.
func SharedPostgres(t testing.TB) *Postgres {
	t.Helper()
	sharedPostgres.Lock()
	defer sharedPostgres.Unlock()
	if sharedPostgres.server != nil {
		return sharedPostgres.server
	}
	p := newPostgres(t, &Postgres{})
	AtEnd(t, p.remove)
	sharedPostgres.server = p
	return p
}

// StartPostgres starts a server of the test's own, to be stopped and started by it.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	p := newPostgres(t, &Postgres{})
	t.Cleanup(p.remove)
	return p
}

// StartDurablePostgres starts a server in an empty folder of the caller's, whose commits
// wait for the disk as they do in production: slower, for measurements.
func StartDurablePostgres(t testing.TB, dir string) *Postgres {
	t.Helper()
	p := newPostgres(t, &Postgres{dir: dir, durable: true})
	t.Cleanup(p.remove)
	return p
}

func newPostgres(t testing.TB, p *Postgres) *Postgres {
	t.Helper()
	p.bin = map[string]string{}
	for _, name := range []string{"initdb", "postgres", "createdb", "pg_isready"} {
		p.bin[name] = Need(t, name)
	}
	if err := p.init(); err != nil {
		p.remove()
		t.Fatal(err)
	}
	return p
}

func (p *Postgres) init() (err error) {
	if p.dir == "" {
		if p.dir, err = ShortDir(); err != nil {
			return err
		}
	}
	if err = give(p.dir, postgresUser); err != nil {
		return err
	}
	if p.port, p.release, err = freePort(lowestPort, highestPort); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	err = RunAs(ctx, postgresUser, p.dir, p.bin["initdb"], "-A", "trust", "--no-sync", "-E", "UTF8", "--no-locale", "-U", postgresUser, "-D", p.data())
	if err != nil {
		return err
	}
	return p.start()
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

func (p *Postgres) start() error {
	fsync := "off"
	if p.durable {
		fsync = "on"
	}
	child, err := StartChild(Command{
		Path: p.bin["postgres"],
		Args: []string{"-D", p.data(), "-p", strconv.Itoa(p.port), "-k", p.dir,
			"-c", "listen_addresses=127.0.0.1", "-c", "fsync=" + fsync, "-c", "max_connections=200",
			"-c", "dynamic_shared_memory_type=mmap"}, // in the data folder: a killed server leaves nothing in /dev/shm
		Dir: p.dir, User: postgresUser, Stop: syscall.SIGINT, // fast shutdown: open sessions are ended
		Ready: func(ctx context.Context) error {
			return RunAs(ctx, postgresUser, p.dir, p.bin["pg_isready"], "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-U", postgresUser)
		},
	})
	p.child = child
	return err
}

// Stop stops the server; its databases stay.
func (p *Postgres) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child != nil {
		p.child.Stop()
		p.child = nil
	}
}

// Start starts a stopped server again on the same port.
func (p *Postgres) Start(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child != nil {
		return
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
}

// Database makes an empty database and returns its URL.
func (p *Postgres) Database(t testing.TB) string {
	t.Helper()
	return p.Clone(t, "template0")
}

// Clone makes a database that is a copy of another one and returns its URL. Nobody
// may be connected to the other meanwhile.
func (p *Postgres) Clone(t testing.TB, template string) string {
	t.Helper()
	p.mu.Lock()
	p.number++
	name := "test" + strconv.Itoa(p.number)
	p.mu.Unlock()
	p.create(t, name, template)
	return p.URL(name)
}

// Create makes an empty database of that name, to be a template for Clone.
func (p *Postgres) Create(t testing.TB, name string) {
	t.Helper()
	p.create(t, name, "template0")
}

func (p *Postgres) create(t testing.TB, name, template string) {
	t.Helper()
	args := []string{"-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-U", postgresUser, "-T", template, name}
	if err := RunAs(t.Context(), postgresUser, p.dir, p.bin["createdb"], args...); err != nil {
		t.Fatal(err)
	}
}

// URL returns the address of a database for PostgreSQL clients.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", postgresUser, net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)), database)
}

// Dir is where the server's data and log are.
func (p *Postgres) Dir() string { return p.dir }

func (p *Postgres) remove() {
	p.Stop()
	if p.release != nil {
		p.release()
	}
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}
