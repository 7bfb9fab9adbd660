-- The accounts that the tokens of a client are limited to. The limit belongs to the client, because
-- its tokens share its idempotency keys: a token with other accounts could learn what the keys were
-- used for. A client has a row from its first token on.
create table clients (
    client text primary key,
    -- A JSON array of account ids; null for no limit.
    accounts text
) strict;
