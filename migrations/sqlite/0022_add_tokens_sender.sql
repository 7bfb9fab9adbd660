-- How the reports of a token are read: JSON with the sender's profile or mapping, the account and
-- customer of every report, and whether the secret is a part of a URL. Null for by our own names.
alter table tokens add column sender text;
