package agent

import (
	"context"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// photo reads the picture of an account live, for one recovery that was begun here: people
// compare it with a face. As with private addresses, a hub cannot copy those of a company.
func (s *service) photo(ctx context.Context, q protocol.RecoveryRef, e *event) (any, error) {
	if _, can := s.dir.(directory.Photographed); !can {
		return nil, protocol.Err(protocol.CodeUnsupported, "this directory has no pictures of people")
	}
	r, err := s.open(q.Recovery, 0, e)
	if err != nil {
		return nil, err
	}
	if !s.photos.allow(r.ID, s.now()) {
		return nil, protocol.Err(protocol.CodeRateLimited, "the picture was read too often")
	}
	image, err := s.pictureOf(ctx, r.Account)
	if err != nil {
		return nil, asError(err)
	}
	return protocol.Photo{Image: image}, nil
}

// pictureOf is the picture that the directory would lend; nil if there is none.
func (s *service) pictureOf(ctx context.Context, id string) ([]byte, error) {
	d, can := s.dir.(directory.Photographed)
	if !can {
		return nil, nil
	}
	image, err := d.Photo(ctx, id)
	if len(image) > protocol.MaxPhoto {
		s.log.Warn("the directory's picture of an account is too large to be compared", "account", withoutAddresses(id), "bytes", len(image))
		image = nil
	}
	return image, err
}
