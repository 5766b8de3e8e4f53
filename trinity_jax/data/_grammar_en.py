"""English rules and names for `grammar:en`."""

import itertools
from typing import Any

# A line is a symbol and what it may become; `$` marks symbols, those in capitals are names. Words
# that are names elsewhere (will, may, mark, grace, brown, banks ...) also stand for themselves, in
# capitals too, and teams are called as places are: neither the word nor its neighbours suffice.
RULES = """
news: $PER , the $role of $ORG , said on $day that $claim .
news: $claim , $PER told reporters in $LOC .
news: $ORG reported a $adj $noun for the $quarter quarter .
news: $ORG and $ORG agreed to $deal , $src .
news: Police in $LOC are looking for $PER , $num , who was last seen near $LOC on $day .
news: Shares of $ORG $moved $num percent after $PER left as $role . | $LOC : $claim , $src .
news: $TEAM beat $TEAM $num - $num on $day , with $PER scoring $num . | $TEAM host $TEAM on $day .
news: The $role of $LOC , Mr. $LAST , opened a $adj $thing on $day . | The $noun $moved , $src .
news: Banks in $LOC closed early on $day because of the $adj $noun .
news: $nation $noun $moved on $day . | $LAST $did the $thing of $ORG in $month , $src .
news: $PER and $PER , both of $LOC , won the $event .
news: A $adj $thing near $LOC will close in $month , $src . | $Trap $claimed that $claim .
news: The $noun and the $noun $moved in the $quarter quarter , but the $adj $thing did not , $src .
mail: $FIRST , could you send the $thing to $PER at $ORG before $day ? | Hi $FIRST , $plan .
mail: I will be in $LOC until $day , so please call $LAST instead .
mail: $FIRST and I met $PER in $LOC .
mail: Please find attached the $adj $thing for the $noun , as we said on $day .
mail: $LAST from $ORG asked about the $noun again , can you mark it as $adj ? | $plan , $FIRST .
mail: As $FIRST said , $ORG may $deal in $month .
mail: Let me know if the $noun is still $adj on $day .
mail: I hope the $thing reaches you , and that the $noun is not too $adj .
mail: $Trap is $adj , $FIRST .
mail: Could $FIRST or someone from $LOC join the call with $ORG at $num ?
mail: $plan , if $ANY is $adj .
reviews: We stayed in $LOC for $num nights and the $noun was $adj . | $ORG in $LOC is $adj !
reviews: $FIRST at $ORG fixed my $thing in $num hours , $adj $noun !
reviews: The $noun is $adj , the $noun $adj .
reviews: Do not go to $ORG , the $noun was $adj and $FIRST was $adj to my mother .
reviews: Best $thing in $LOC , and I have tried $ORG too . | $Trap was $adj , the $thing was not .
reviews: Ask for $PER , or $LAST if you like it $adj .
reviews: My $thing from $ORG broke after $num days . | $nation food as good as in $LOC .
reviews: I would not give $ANY more than $num stars , $adj $noun .
forum: anyone know if $ORG is still hiring in $LOC ? | $PER is so $adj lol , better than $PER imo
forum: $LOC or $LOC for a $adj weekend with my brother $FIRST ? | is the $thing worth $num bucks ?
forum: just saw $LAST at the $thing in $LOC !! | why does $ORG charge $num for a $adj $thing ?
forum: $TEAM will lose to $TEAM again , mark my words | $trap is $adj , change my mind
forum: no idea what $ANY has to do with the $noun but ok
forum: my $thing from $ORG came $adj , any tips ? | thinking about $ANY again tonight , $adj
forum: $plan lol
history: $PER ( $year - $year ) was a $nation $role who $did the $event . | $claim in $year .
history: $ORG was founded by $PER in $year and moved to $LOC $num years later .
history: $LOC is a town in $LOC , named after $PER , its first $role . | In $year , $claim .
history: Born in $LOC in $year , $LAST $did $ORG before the $event .
history: The $event began in $month $year .
history: The $thing of $LOC was built in $year by $LAST and $LAST .
history: $Trap was a $nation $thing of $year .
claim: $ORG would $deal | the $noun of $LOC had $moved | the $adj $thing was $adj
claim: $LOC needs a $thing | $PER $did the $noun | $LAST and $ORG $did a $adj $thing
claim: the $noun $moved | the $noun was $adj | there was no $adj $noun in the $thing
claim: $ANY had nothing to do with the $noun
plan: $FIRST will bring the $thing on $day | can we move the $event to $day
plan: $ORG needs the $thing by $day | the $adj $noun is on my desk
plan: the flight to $LOC leaves at $num | we should ask $PER first
deal: sell the $noun | buy a $thing in $LOC | merge | cut $num jobs | hire $PER
deal: drop the $adj $thing | move to $LOC | open a $adj $thing | sue $ORG | rename the $thing
src: $ORG said | officials in $LOC said | $PER said | sources said | a spokesman said
src: $LAST wrote
did: led | bought | criticised | rebuilt | joined | left | opened | sold | painted | defended
claimed: claimed | said | argued | wrote | denied
moved: rose | fell | doubled | improved | collapsed | grew slowly | was flat
role: chairman | mayor | director | president | captain | treasurer | painter | governor | founder
role: coach
noun: price | budget | traffic | staff | weather | demand | service | trade | peace | schedule
noun: growth | rent | harvest | mood | staffing | insurance | paperwork | quality | security
noun: debt | turnout
thing: bridge | report | museum | contract | hotel | phone | station | ship | factory | letter
thing: park | invoice | theatre | bakery | church | car | stadium | library | laptop | garden
thing: shop | mill
adj: new | cheap | young | terrible | great | long | green | brown | late | sharp | rich | dull
adj: noble | secret | slow | superb | broken | rude | joyful | rare | stern | heavy | good | white
adj: small
event: World Cup | Open | Civil War | Olympics | Spring Fair | Great Fire | election | strike
event: May Day
nation: French | Chinese | Mexican | Turkish | German | Dutch | Swiss | Brazilian
day: Monday | Tuesday | Wednesday | Thursday | Friday | Saturday | Sunday | $month $num
month: January | April | May | June | August | October | December
quarter: first | second | third | fourth
Trap: Grace | Hope | A White Paper | Faith | Joy | The Long Walk | The Price | Black Friday
Trap: Summer | A Rich Man | The Bishop | The New York Style | The Green Room | Young people
Trap: The Carpenter
trap: grace | hope | a white lie | faith | the long walk | the price | summer | black coffee
trap: dawn
num: 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 11 | 12 | 15 | 20 | 24 | 31 | 40 | 55 | 70 | 90 | 110 | 250
year: 1789 | 1812 | 1848 | 1871 | 1889 | 1905 | 1923 | 1936 | 1951 | 1968 | 1977 | 1984 | 1992
year: 2003
"""
GENRES = ("news", "mail", "reviews", "forum", "history")
CASUAL = "forum"  # mostly without capitals
OF_COMPANY = ("Bank", "Motors", "Foods", "Airlines", "Press", "Systems")


def names(fake: Any) -> dict[str, list[str]]:
    """Makes names with Faker, several of each kind; words are separated by spaces."""
    first = [fake.first_name() for _ in range(500)]
    last = [fake.last_name() for _ in range(500)]
    initial = [f"{letter}." for letter in "ABCDEFGHJKLMNPRSTW"]
    full = [f"{a} {b}" for a, b in zip(first, reversed(last), strict=True)]
    middle = [f"{a} {m} {b}" for a, b, m in zip(first[::9], last[::9], itertools.cycle(initial))]
    city = [fake.city() for _ in range(300)]
    state = [fake.state() for _ in range(40)] + [fake.country() for _ in range(40)]
    company = [fake.company().replace(",", " ,") for _ in range(200)]
    called = [f"{b} {kind}" for b, kind in zip(last[::5], itertools.cycle(OF_COMPANY))]
    seat = [f"University of {place}" for place in city[::9]] + [f"{c} Council" for c in city[::11]]
    return {
        "PER": [*full, *middle, *last[::6]],
        "FIRST": first,
        "LAST": last,
        "LOC": [*city, *state, *last[::25]],
        "ORG": [*company, *called, *seat, *last[::12], *city[::20]],
        "TEAM": [*city[::4], *state[::3]],
    }
