-- It had every billable that ever came without an account and a customer. What is undecided now is in
-- the table `undecided`, which lists of unattributed billables use.
drop index entries_without_pair;
