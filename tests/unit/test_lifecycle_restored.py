"""The log of a broker that was restored: it counts when every party has confirmed it, and takes the place of the one before."""

from dataclasses import replace

from builders_lifecycle import ORIGIN, TERMS, in_force, refused
from comity_policy.lifecycle import StepKind as K
from comity_policy.lifecycle import TransitionFault

NEXT = replace(TERMS, origin=f"{ORIGIN.rpartition('/')[0]}/next", anchor_key="cd" * 32)
ELSEWHERE = replace(TERMS, origin="second.example/treaty")


def test_a_restored_log_is_open_when_every_party_has_confirmed_it():
    life = in_force()
    life.take(K.LOG_CONFIRM, "XAR", log=NEXT)
    assert life.state().open_logs == (ORIGIN,)
    refused(life, K.LOG_CONFIRM, "XAR", because="already", log=NEXT)
    life.take(K.LOG_CONFIRM, "XBO", log=NEXT)
    assert life.state().open_logs == (NEXT.origin,), "the log that is left counts no more"


def test_the_terms_confirmed_are_the_same_for_all():
    life = in_force()
    life.take(K.LOG_CONFIRM, "XAR", log=NEXT)
    other = replace(NEXT, anchor_key="ef" * 32)
    refused(life, K.LOG_CONFIRM, "XBO", because="other keys", fault=TransitionFault.CONFLICT, log=other)


def test_nothing_is_confirmed_that_continues_no_log_of_this_broker():
    life = in_force()
    refused(life, K.LOG_CONFIRM, "XAR", because="continues no log", log=ELSEWHERE)


def test_another_brokers_log_stays_open():
    life = in_force()
    life.each(K.LOG_SIGN, "XAR", "XBO", log=ELSEWHERE)
    life.each(K.LOG_CONFIRM, "XAR", "XBO", log=NEXT)
    assert set(life.state().open_logs) == {ELSEWHERE.origin, NEXT.origin}
