"""The sentences of the offline writer, by language. They claim nothing about any topic: they tell how to look at one.

`{asked}` is a whole question, `{topic}` a noun phrase as the user wrote it, `{number}` how many facts were asked for and
`{word}` a single word. A picture's `{keys}` are the prompt's keywords.
"""

# ruff: noqa: E501  # a table of sentences reads better unbroken

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mood = Literal["calm", "bright", "warm", "dark", "wild"]


@dataclass(frozen=True)
class Line:
    """One scene's worth: the picture's mood and subject, and what is said."""

    mood: Mood
    picture: str
    text: str


@dataclass(frozen=True)
class Lines:
    """What the writer can say in one language. The body's lines are in the order in which they are spoken."""

    do_you_know: str  # makes a question of "why cats purr"
    counts: tuple[str, ...]  # one to three
    ordinals: tuple[str, ...]  # the same, to number lines with
    hooks_question: tuple[str, ...]
    hooks_topic: tuple[str, ...]
    hooks_counted: tuple[str, ...]
    hooks_text: tuple[str, ...]
    hook_about_word: str
    for_questions: tuple[Line, ...]
    for_topics: tuple[Line, ...]
    for_all: tuple[Line, ...]
    quick: tuple[Line, ...]  # as many as can be asked for, for a video too short for others
    endings_question: tuple[Line, ...]
    endings_topic: tuple[Line, ...]
    endings_text: tuple[Line, ...]


_EN = Lines(
    do_you_know="Do you know {question}?",
    counts=("one", "two", "three"),
    ordinals=("One.", "Two.", "Three."),
    hooks_question=(
        "{asked} Keep your first guess. You will need it.",
        "{asked} Take a second before you answer.",
        "One question, and it is yours now. {asked}",
    ),
    hooks_topic=(
        "What do you really know about {topic}?",
        "Have you ever taken a proper look at {topic}?",
        "What would you tell a stranger about {topic}?",
        "One minute from now, will you see {topic} with different eyes?",
    ),
    hooks_counted=(
        "{number} ways to look at {topic}. Which one is yours?",
        "Give me {number} short looks at {topic}. Are you ready?",
    ),
    hooks_text=(
        "Listen to this for a moment. Do you agree?",
        "What would you say if somebody told you this?",
        "Here is a thought for you. See what it does.",
    ),
    hook_about_word="What should you know about {word}? Listen.",
    for_questions=(
        Line("bright", "an idea, a light bulb", "You have a first answer already. Hold on to it, and be ready to let it go."),
        Line("dark", "{keys}", "Say the question again, slowly. {asked} Which word in it matters most?"),
        Line("wild", "a path through the mountains", "Turn the question around. If it were never so, what would be different?"),
        Line("warm", "people talking", "Ask two people you trust. {asked} Listen for the point where their answers part."),
    ),
    for_topics=(
        Line("calm", "{keys}", "Close your eyes, and picture {topic}. What do you see first?"),
        Line("bright", "{keys}", "Now come closer. What is the smallest part of {topic} that you could point at?"),
        Line("dark", "a long time, a clock", "Think back. When did you hear about {topic} for the very first time?"),
        Line("wild", "an empty world under the stars", "Imagine a day without {topic}. Who would notice first, and why?"),
        Line("warm", "people talking", "Find someone who cares about {topic}. Ask what surprised them most."),
    ),
    for_all=(
        Line("calm", "a book", "Start with what you already know. Put it in one sentence, as if you told it to a child."),
        Line("bright", "a magnifying glass over details", "Next, look for one small detail that you have never noticed. There is always one."),
        Line("warm", "{keys}", "Use your senses. What does it look like, what does it sound like, and what would it feel like?"),
        Line("dark", "a night sky with stars", "Then step back, far back. From up here, what belongs together, and what only looks that way?"),
        Line("wild", "a curve on a chart", "Watch what changes. Morning and evening, young and old, then and now: a change is a clue."),
        Line("calm", "waves on the water", "Be patient with it. Good answers come the way waves do, one after another."),
        Line("bright", "an idea, a light bulb", "Now guess. A wrong guess that you can test is worth more than a right one that you can't."),
        Line("dark", "a question", "Be honest about what you don't know. Name it. That is where the interesting part begins."),
        Line("warm", "people talking", "Tell it to somebody tonight. The place where you get stuck is the place to look again."),
        Line("wild", "{keys}", "Try the opposite. What would have to be true for everybody to be wrong about this?"),
        Line("calm", "a long time, a clock", "Give it five quiet minutes, without your phone. You will be surprised how long they are."),
        Line("bright", "a road into the mountains", "Follow one thread to its end. Where does it come from, and where does it lead?"),
        Line("dark", "the lights of a city", "Look for it on your way home. Once you pay attention, you begin to see it everywhere."),
        Line("warm", "a cup of coffee and a notebook", "Write three words on a piece of paper. Tomorrow, see if you would still choose them."),
        Line("wild", "a net of computers and data", "Check it. Find two sources that have nothing to do with each other, and compare."),
        Line("calm", "a tree with many branches", "Every answer grows new questions, like branches on a tree. Pick the one you like best."),
    ),
    quick=(
        Line("bright", "{keys}", "What do you see first?"),
        Line("warm", "people talking", "Who would miss it most?"),
        Line("dark", "a long time, a clock", "What will become of it?"),
    ),
    endings_question=(
        Line("warm", "people talking, {keys}", "So, once more. {asked} Tell me your answer below."),
        Line("bright", "{keys}", "And now you. {asked} Write down what you think, before you look it up."),
    ),
    endings_topic=(
        Line("warm", "{keys}", "That was {topic}, a little slower than usual. What did you see that I missed?"),
        Line("bright", "{keys}", "Next time you come across {topic}, stay one second longer. Then tell me what you saw."),
    ),
    endings_text=(
        Line("warm", "people talking, {keys}", "So, do you agree? Tell me below what you would add."),
        Line("bright", "{keys}", "Keep the one sentence that stayed with you, and pass it on."),
    ),
)  # fmt: skip

_DE = Lines(
    do_you_know="Weißt du, {question}?",
    counts=("einer", "zwei", "drei"),
    ordinals=("Erstens.", "Zweitens.", "Drittens."),
    hooks_question=(
        "{asked} Merk dir deine erste Vermutung.",
        "{asked} Nimm dir einen Moment, bevor du antwortest.",
        "Eine Frage, und jetzt gehört sie dir. {asked}",
    ),
    hooks_topic=(
        "{topic}. Was weißt du wirklich darüber?",
        "{topic}. Hast du schon einmal genau hingesehen?",
    ),
    hooks_counted=("{topic}, von {number} Seiten betrachtet. Welche ist deine?",),
    hooks_text=("Hör dir das einen Moment lang an. Stimmst du zu?", "Was würdest du sagen, wenn dir jemand das erzählt?"),
    hook_about_word="Was solltest du zum Thema {word} wissen? Hör zu.",
    for_questions=(
        Line("dark", "{keys}", "Stell die Frage noch einmal, ganz langsam. {asked} Welches Wort darin ist das wichtigste?"),
        Line("wild", "a path through the mountains", "Dreh die Frage um. Wenn es anders wäre, was würde dann fehlen?"),
        Line("warm", "people talking", "Frag zwei Menschen, denen du vertraust. Achte darauf, wo ihre Antworten auseinandergehen."),
    ),
    for_topics=(
        Line("calm", "{keys}", "{topic}. Schließ kurz die Augen. Welches Bild siehst du zuerst?"),
        Line("dark", "a long time, a clock", "Denk zurück. Wann hast du zum ersten Mal davon gehört?"),
        Line("wild", "a night sky with stars", "Stell dir einen Tag ohne das alles vor. Wer würde es als Erster merken?"),
    ),
    for_all=(
        Line("calm", "a book", "Fang mit dem an, was du schon weißt. Sag es in einem Satz, so wie du es einem Kind erzählen würdest."),
        Line("bright", "a magnifying glass over details", "Such dann nach einer Kleinigkeit, die dir noch nie aufgefallen ist. Es gibt immer eine."),
        Line("warm", "{keys}", "Nutze deine Sinne. Wie sieht es aus, wie klingt es, und wie würde es sich anfühlen?"),
        Line("dark", "a night sky with stars", "Geh nun weit zurück. Was gehört von hier oben aus zusammen, und was sieht nur so aus?"),
        Line("wild", "a curve on a chart", "Achte darauf, was sich verändert. Jede Veränderung ist ein Hinweis."),
        Line("bright", "an idea, a light bulb", "Und jetzt rate. Eine falsche Vermutung, die du prüfen kannst, ist mehr wert als eine richtige, die du nicht prüfst."),
        Line("dark", "a question", "Sei ehrlich, was du nicht weißt. Genau dort wird es spannend."),
        Line("warm", "people talking", "Erzähl es heute Abend jemandem. Dort, wo du ins Stocken gerätst, lohnt sich ein zweiter Blick."),
        Line("calm", "a long time, a clock", "Gib dem Ganzen fünf ruhige Minuten, ohne Telefon. Du wirst staunen, wie lang sie sind."),
        Line("bright", "a road into the mountains", "Folge einem Faden bis zum Ende. Wo kommt er her, und wohin führt er?"),
    ),
    quick=(
        Line("bright", "{keys}", "Was siehst du zuerst?"),
        Line("warm", "people talking", "Wem würde es am meisten fehlen?"),
        Line("dark", "a long time, a clock", "Was wird einmal daraus?"),
    ),
    endings_question=(Line("warm", "people talking, {keys}", "Also, noch einmal. {asked} Schreib mir deine Antwort."),),
    endings_topic=(Line("bright", "{keys}", "{topic}. Schau beim nächsten Mal eine Sekunde länger hin, und erzähl mir, was du gesehen hast."),),
    endings_text=(Line("warm", "people talking, {keys}", "Und, stimmst du zu? Schreib mir, was du ergänzen würdest."),),
)  # fmt: skip

_FR = Lines(
    do_you_know="Sais-tu {question} ?",
    counts=("un", "deux", "trois"),
    ordinals=("Un.", "Deux.", "Trois."),
    hooks_question=("{asked} Garde ta première idée en tête.", "Une question pour toi. {asked}"),
    hooks_topic=("{topic}. Que sais-tu vraiment à ce sujet ?", "{topic}. As-tu déjà regardé de près ?"),
    hooks_counted=("{topic}, en {number} regards. Lequel est le tien ?",),
    hooks_text=("Écoute ceci un instant. Es-tu d'accord ?",),
    hook_about_word="Que faut-il savoir à propos de {word} ? Écoute.",
    for_questions=(Line("dark", "{keys}", "Répète la question, lentement. {asked} Quel mot compte le plus ?"),),
    for_topics=(Line("calm", "{keys}", "{topic}. Ferme les yeux un instant. Quelle image vois-tu en premier ?"),),
    for_all=(
        Line("calm", "a book", "Commence par ce que tu sais déjà. Dis-le en une phrase, comme à un enfant."),
        Line("bright", "a magnifying glass over details", "Cherche ensuite un petit détail que tu n'avais jamais remarqué. Il y en a toujours un."),
        Line("wild", "a curve on a chart", "Observe ce qui change, du matin au soir, d'hier à aujourd'hui. Chaque changement est un indice."),
        Line("dark", "a night sky with stars", "Prends du recul. Vu de loin, qu'est-ce qui va vraiment ensemble ?"),
        Line("bright", "an idea, a light bulb", "Maintenant, devine. Une idée fausse que tu peux vérifier vaut mieux qu'une certitude."),
        Line("warm", "people talking", "Raconte-le à quelqu'un ce soir. Là où tu hésites, regarde encore une fois."),
    ),
    quick=(
        Line("bright", "{keys}", "Que vois-tu en premier ?"),
        Line("warm", "people talking", "À qui cela manquerait-il ?"),
        Line("dark", "a long time, a clock", "Qu'en restera-t-il demain ?"),
    ),
    endings_question=(Line("warm", "people talking, {keys}", "Alors, encore une fois. {asked} Écris-moi ta réponse."),),
    endings_topic=(Line("bright", "{keys}", "{topic}. La prochaine fois, regarde une seconde de plus, et raconte-moi."),),
    endings_text=(Line("warm", "people talking, {keys}", "Alors, es-tu d'accord ? Écris-moi ce que tu ajouterais."),),
)  # fmt: skip

_ES = Lines(
    do_you_know="¿Sabes {question}?",
    counts=("una", "dos", "tres"),
    ordinals=("Uno.", "Dos.", "Tres."),
    hooks_question=("{asked} Guarda tu primera respuesta.", "Una pregunta para ti. {asked}"),
    hooks_topic=("{topic}. ¿Qué sabes de verdad sobre esto?", "{topic}. ¿Alguna vez lo has mirado de cerca?"),
    hooks_counted=("{topic}, en {number} miradas. ¿Cuál es la tuya?",),
    hooks_text=("Escucha esto un momento. ¿Estás de acuerdo?",),
    hook_about_word="¿Qué deberías saber sobre {word}? Escucha.",
    for_questions=(Line("dark", "{keys}", "Repite la pregunta, despacio. {asked} ¿Qué palabra importa más?"),),
    for_topics=(Line("calm", "{keys}", "{topic}. Cierra los ojos un instante. ¿Qué imagen ves primero?"),),
    for_all=(
        Line("calm", "a book", "Empieza por lo que ya sabes. Dilo en una frase, como se lo dirías a un niño."),
        Line("bright", "a magnifying glass over details", "Busca después un pequeño detalle que nunca habías notado. Siempre hay uno."),
        Line("wild", "a curve on a chart", "Fíjate en lo que cambia, de la mañana a la noche, de ayer a hoy. Cada cambio es una pista."),
        Line("dark", "a night sky with stars", "Da un paso atrás. Visto de lejos, ¿qué va realmente junto?"),
        Line("bright", "an idea, a light bulb", "Ahora adivina. Una idea equivocada que puedes comprobar vale más que una certeza."),
        Line("warm", "people talking", "Cuéntaselo a alguien esta noche. Donde dudes, vuelve a mirar."),
    ),
    quick=(
        Line("bright", "{keys}", "¿Qué ves primero?"),
        Line("warm", "people talking", "¿Quién lo echaría de menos?"),
        Line("dark", "a long time, a clock", "¿Qué será de ello mañana?"),
    ),
    endings_question=(Line("warm", "people talking, {keys}", "Entonces, una vez más. {asked} Escríbeme tu respuesta."),),
    endings_topic=(Line("bright", "{keys}", "{topic}. La próxima vez, mira un segundo más, y cuéntame qué viste."),),
    endings_text=(Line("warm", "people talking, {keys}", "¿Estás de acuerdo? Escríbeme qué añadirías."),),
)  # fmt: skip

LINES = {"en": _EN, "de": _DE, "fr": _FR, "es": _ES}
