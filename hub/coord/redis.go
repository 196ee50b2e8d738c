package coord

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// commandTimeout bounds each exchange with the server. It answers in well under a
// millisecond, or it is away.
const commandTimeout = 2 * time.Second

// The scripts, one atomic step each.
var (
	//go:embed lua/fence.lua
	fenceLua string
	//go:embed lua/acquire.lua
	acquireLua string
	//go:embed lua/renew.lua
	renewLua string
	//go:embed lua/set.lua
	setLua string
	//go:embed lua/get.lua
	getLua string
	//go:embed lua/delete.lua
	deleteLua string
	//go:embed lua/list.lua
	listLua string
	//go:embed lua/take.lua
	takeLua string

	fenceScript   = redis.NewScript(fenceLua)
	acquireScript = redis.NewScript(acquireLua)
	renewScript   = redis.NewScript(renewLua)
	setScript     = redis.NewScript(setLua)
	getScript     = redis.NewScript(getLua)
	deleteScript  = redis.NewScript(deleteLua)
	listScript    = redis.NewScript(listLua)
	takeScript    = redis.NewScript(takeLua)
)

// Redis is the coordinator of several nodes. It reconnects by itself.
type Redis struct {
	client redis.UniversalClient
	prefix string // "{name}:", one hash tag, so that scripts and channels stay in one cluster slot
	bus    *redisBus
}

// A RedisConfig says where the server is.
type RedisConfig struct {
	// URL is redis:// or rediss:// (TLS) for one server, redis+cluster:// or
	// rediss+cluster:// with more addresses as ?addr=host:port, redis+sentinel:// or
	// rediss+sentinel:// with ?master_name=.
	URL string
	// Prefix begins all keys and channels; "postern" if empty. Nodes of one
	// installation share it.
	Prefix string
	Log    *slog.Logger
}

// OpenRedis prepares the coordinator. It fails for a malformed URL only: a server that
// is away is looked for until Close.
func OpenRedis(cfg RedisConfig) (*Redis, error) {
	logging.Disable() // it writes to standard error; we log outages ourselves
	client, err := newRedisClient(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "postern"
	}
	prefix := "{" + cfg.Prefix + "}:"
	return &Redis{client, prefix, newRedisBus(client, prefix, cfg.Log)}, nil
}

// newRedisClient parses the URL. Its errors do not repeat it: it may hold a password.
func newRedisClient(raw string) (redis.UniversalClient, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("coord: the redis address is no URL")
	}
	scheme, mode, _ := strings.Cut(u.Scheme, "+")
	u.Scheme = scheme
	var opt *redis.UniversalOptions
	switch mode {
	case "":
		opt, err = singleOptions(u.String())
	case "cluster":
		opt, err = clusterOptions(u.String())
	case "sentinel":
		opt, err = sentinelOptions(u.String())
	default:
		err = errors.New("unknown scheme")
	}
	if err != nil {
		return nil, fmt.Errorf("coord: redis address at %s: want redis://, rediss://, redis+cluster:// or redis+sentinel:// with known options", u.Host)
	}
	opt.ContextTimeoutEnabled = true // otherwise a context's deadline is ignored
	opt.DialTimeout, opt.ReadTimeout, opt.WriteTimeout, opt.PoolTimeout = commandTimeout, commandTimeout, commandTimeout, commandTimeout
	opt.DialerRetries = 1 // a refused connection is an answer; callers try again
	opt.MaxRetries = 1
	return redis.NewUniversalClient(opt), nil
}

func singleOptions(raw string) (*redis.UniversalOptions, error) {
	o, err := redis.ParseURL(raw)
	if err != nil {
		return nil, err
	}
	return &redis.UniversalOptions{Addrs: []string{o.Addr}, DB: o.DB, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig, PoolSize: o.PoolSize}, nil
}

func clusterOptions(raw string) (*redis.UniversalOptions, error) {
	o, err := redis.ParseClusterURL(raw)
	if err != nil {
		return nil, err
	}
	return &redis.UniversalOptions{Addrs: o.Addrs, IsClusterMode: true, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig, PoolSize: o.PoolSize}, nil
}

func sentinelOptions(raw string) (*redis.UniversalOptions, error) {
	o, err := redis.ParseFailoverURL(raw)
	if err != nil {
		return nil, err
	}
	if o.MasterName == "" {
		return nil, errors.New("no master_name")
	}
	return &redis.UniversalOptions{
		Addrs: o.SentinelAddrs, MasterName: o.MasterName, DB: o.DB, Username: o.Username, Password: o.Password,
		SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword, TLSConfig: o.TLSConfig, PoolSize: o.PoolSize,
	}, nil
}

// Publish implements Bus.
func (r *Redis) Publish(ctx context.Context, channel string, msg []byte) (int, error) {
	n, err := r.bus.publish(ctx, channel, msg)
	return n, outage(err)
}

// Subscribe implements Bus.
func (r *Redis) Subscribe(ctx context.Context, channel string, f func([]byte)) func() {
	return r.bus.subscribe(ctx, channel, f)
}

// valueKeys are the two keys of a set.
func (r *Redis) valueKeys(set string) []string {
	return []string{r.prefix + "values:" + set, r.prefix + "ends:" + set}
}

// Set implements Values.
func (r *Redis) Set(ctx context.Context, set, key string, value []byte, life time.Duration) error {
	return outage(setScript.Run(ctx, r.client, r.valueKeys(set), key, value, life.Milliseconds(), 0).Err())
}

// SetList implements Values.
func (r *Redis) SetList(ctx context.Context, set, key string, value []byte, life time.Duration) (map[string][]byte, error) {
	return pairs(setScript.Run(ctx, r.client, r.valueKeys(set), key, value, life.Milliseconds(), 1).StringSlice())
}

// Get implements Values.
func (r *Redis) Get(ctx context.Context, set, key string) ([]byte, error) {
	text, err := getScript.Run(ctx, r.client, r.valueKeys(set), key).Text()
	if errors.Is(err, redis.Nil) {
		return nil, ErrNotFound
	}
	return []byte(text), outage(err)
}

// Delete implements Values.
func (r *Redis) Delete(ctx context.Context, set, key string) error {
	return outage(deleteScript.Run(ctx, r.client, r.valueKeys(set), key).Err())
}

// List implements Values.
func (r *Redis) List(ctx context.Context, set string) (map[string][]byte, error) {
	return pairs(listScript.Run(ctx, r.client, r.valueKeys(set)).StringSlice())
}

// pairs reads the reply of HGETALL.
func pairs(flat []string, err error) (map[string][]byte, error) {
	if err != nil {
		return nil, outage(err)
	}
	all := make(map[string][]byte, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		all[flat[i]] = []byte(flat[i+1])
	}
	return all, nil
}

// Acquire implements Leases.
func (r *Redis) Acquire(ctx context.Context, name string, life time.Duration) (Lease, error) {
	l := Lease{Name: name, Token: rand.Text()}
	fence, err := acquireScript.Run(ctx, r.client, []string{r.prefix + "lease:" + name, r.prefix + "fence"}, l.Token, life.Milliseconds()).Int64()
	if err != nil {
		return Lease{}, outage(err)
	}
	if fence == 0 {
		return Lease{}, ErrHeld
	}
	l.Fence = fence
	return l, nil
}

// Renew implements Leases.
func (r *Redis) Renew(ctx context.Context, l Lease, life time.Duration) error {
	return r.setLife(ctx, l, max(1, life.Milliseconds()))
}

// Release implements Leases.
func (r *Redis) Release(ctx context.Context, l Lease) error { return r.setLife(ctx, l, 0) }

func (r *Redis) setLife(ctx context.Context, l Lease, ms int64) error {
	ours, err := renewScript.Run(ctx, r.client, []string{r.prefix + "lease:" + l.Name}, l.Token, ms).Int()
	if err != nil {
		return outage(err)
	}
	if ours == 0 {
		return ErrLost
	}
	return nil
}

// Fence implements Leases.
func (r *Redis) Fence(ctx context.Context) (int64, error) {
	n, err := fenceScript.Run(ctx, r.client, []string{r.prefix + "fence"}).Int64()
	return n, outage(err)
}

// Take implements Buckets.
func (r *Redis) Take(ctx context.Context, key string, rate Rate) (bool, time.Duration, error) {
	over, err := takeScript.Run(ctx, r.client, []string{r.prefix + "bucket:" + key}, rate.Every.Microseconds(), rate.Burst).Int64()
	if err != nil {
		return false, 0, outage(err)
	}
	return over < 0, time.Duration(max(over, -over)) * time.Microsecond, nil
}

// Healthy implements Coord.
func (r *Redis) Healthy(ctx context.Context) error {
	if err := r.client.Ping(ctx).Err(); err != nil {
		return outage(err)
	}
	return r.bus.healthy()
}

// Close implements Coord.
func (r *Redis) Close() error {
	r.bus.close()
	return r.client.Close()
}

// outage marks every error of the client: commands and scripts are ours and do not
// fail by themselves, so what fails is the server or the way to it.
func outage(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// mayHaveArrived reports whether a request that failed may still have reached the
// server: it did not if there was no connection to send it on.
func mayHaveArrived(err error) bool {
	var op *net.OpError
	return !(errors.As(err, &op) && op.Op == "dial") && !errors.Is(err, redis.ErrPoolTimeout) && !errors.Is(err, redis.ErrClosed)
}

var _ Coord = (*Redis)(nil)
