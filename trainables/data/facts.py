"""Facts that are true and widely known, each with three wrong answers of the same form. Data only."""

from __future__ import annotations

from trainables.data.rows import Row


def _rows(text: str) -> tuple[Row, ...]:
    """One row a line: question | answer | three wrong answers, separated by commas."""
    fields = ([part.strip() for part in line.split("|")] for line in text.strip().splitlines())
    return tuple(Row(q, a, perturbed_answers=tuple(w.strip() for w in wrong.split(","))) for q, a, wrong in fields)


REAL_PEOPLE = _rows(
    """
Who wrote the play Hamlet? | William Shakespeare | Christopher Marlowe, Ben Jonson, John Milton
Who painted the Mona Lisa? | Leonardo da Vinci | Raphael, Titian, Sandro Botticelli
Who stated the law of universal gravitation in 1687? | Isaac Newton | Galileo Galilei, Johannes Kepler, Blaise Pascal
Who wrote On the Origin of Species? | Charles Darwin | Thomas Huxley, Charles Lyell, Gregor Mendel
Who was the first woman to win a Nobel Prize? | Marie Curie | Bertha von Suttner, Selma Lagerlof, Jane Addams
Who composed the opera The Magic Flute? | Wolfgang Amadeus Mozart | Joseph Haydn, Franz Schubert, Carl Maria von Weber
Who composed The Four Seasons? | Antonio Vivaldi | George Frideric Handel, Arcangelo Corelli, Claudio Monteverdi
Who wrote the novel Don Quixote? | Miguel de Cervantes | Lope de Vega, Francisco de Quevedo, Tirso de Molina
Who wrote the Divine Comedy? | Dante Alighieri | Francesco Petrarch, Giovanni Boccaccio, Torquato Tasso
Who painted The Starry Night in 1889? | Vincent van Gogh | Paul Gauguin, Claude Monet, Paul Cezanne
Who wrote Pride and Prejudice? | Jane Austen | Charlotte Bronte, George Eliot, Elizabeth Gaskell
Who wrote the novel Frankenstein? | Mary Shelley | Emily Bronte, Ann Radcliffe, Bram Stoker
Who wrote War and Peace? | Leo Tolstoy | Fyodor Dostoevsky, Ivan Turgenev, Anton Chekhov
Who was the first president of the United States? | George Washington | John Adams, Thomas Jefferson, Benjamin Franklin
Who published a periodic table in 1869? | Dmitri Mendeleev | Antoine Lavoisier, Robert Bunsen, John Dalton
Who discovered penicillin in 1928? | Alexander Fleming | Louis Pasteur, Robert Koch, Joseph Lister
Who introduced vaccination against smallpox in 1796? | Edward Jenner | William Harvey, Rudolf Virchow, Ignaz Semmelweis
Who was the first to reach the South Pole? | Roald Amundsen | Robert Falcon Scott, Ernest Shackleton, Fridtjof Nansen
To which poet is the Odyssey attributed? | Homer | Virgil, Hesiod, Sophocles
Who was queen of the United Kingdom from 1837 to 1901? | Queen Victoria | Queen Anne, Queen Mary, Queen Charlotte
Who wrote the Ninety-five Theses in 1517? | Martin Luther | John Calvin, Jan Hus, Thomas More
Who became Emperor of the French in 1804? | Napoleon Bonaparte | Maximilien Robespierre, Joachim Murat, Louis XVI
Who put the Sun at the centre in a book of 1543? | Nicolaus Copernicus | Tycho Brahe, Claudius Ptolemy, Giordano Bruno
Who published the general theory of relativity in 1915? | Albert Einstein | Niels Bohr, Max Planck, Erwin Schrodinger
Who found the laws of heredity by growing peas? | Gregor Mendel | Carl Linnaeus, Alexander von Humboldt, Georges Cuvier
Who patented the telephone in 1876? | Alexander Graham Bell | Samuel Morse, Nikola Tesla, Guglielmo Marconi
Who carved the marble David that was unveiled in 1504? | Michelangelo | Auguste Rodin, Antonio Canova, Lorenzo Ghiberti
Who wrote The Hunchback of Notre-Dame? | Victor Hugo | Honore de Balzac, Gustave Flaubert, Emile Zola
Who wrote the novel Moby-Dick? | Herman Melville | Nathaniel Hawthorne, Mark Twain, Edgar Allan Poe
Which philosopher wrote the Republic and taught Aristotle? | Plato | Epicurus, Heraclitus, Parmenides
Who wrote an algorithm for the Analytical Engine in 1843? | Ada Lovelace | George Boole, Mary Somerville, John Herschel
Who painted The Night Watch? | Rembrandt | Johannes Vermeer, Peter Paul Rubens, Frans Hals
Who composed the ballet Swan Lake? | Pyotr Tchaikovsky | Modest Mussorgsky, Alexander Borodin, Mikhail Glinka
Who set the Ode to Joy in a ninth symphony? | Ludwig van Beethoven | Johannes Brahms, Joseph Haydn, Robert Schumann
Who wrote Around the World in Eighty Days? | Jules Verne | Alexandre Dumas, Guy de Maupassant, Theophile Gautier
Who reformed nursing after the Crimean War? | Florence Nightingale | Clara Barton, Edith Cavell, Elizabeth Blackwell
Who reached India by sea from Portugal in 1498? | Vasco da Gama | Henry Hudson, James Cook, Francis Drake
Which general crossed the Alps with elephants in 218 BC? | Hannibal | Spartacus, Pompey, Pyrrhus
"""
)

WORLD_FACTS = _rows("""
What is the capital of France? | Paris | London, Madrid, Berlin
What is the capital of Japan? | Tokyo | Osaka, Kyoto, Nagoya
What is the capital of Australia? | Canberra | Sydney, Melbourne, Perth
What is the capital of Canada? | Ottawa | Toronto, Montreal, Vancouver
What is the capital of Egypt? | Cairo | Alexandria, Luxor, Aswan
What is the capital of Kenya? | Nairobi | Mombasa, Kampala, Kisumu
What is the capital of Peru? | Lima | Cusco, Quito, Bogota
What is the largest planet of the Solar System? | Jupiter | Saturn, Neptune, Uranus
Which planet is closest to the Sun? | Mercury | Venus, Mars, Earth
How many days are there in a leap year? | 366 | 365, 364, 360
What is the chemical symbol of gold? | Au | Ag, Fe, Pb
Which gas do plants take in for photosynthesis? | Carbon dioxide | Nitrogen, Helium, Hydrogen
What is the largest ocean on Earth? | The Pacific Ocean | The Atlantic Ocean, The Indian Ocean, The Arctic Ocean
What is the highest mountain above sea level? | Mount Everest | Mont Blanc, Mount Fuji, Kilimanjaro
Which continent is the largest by area? | Asia | Africa, Europe, Antarctica
How many sides does a hexagon have? | Six | Five, Seven, Eight
What is the square root of 144? | 12 | 14, 16, 24
At how many degrees Celsius does water freeze at sea level? | 0 | 10, 32, 100
Which metal is liquid at room temperature? | Mercury | Iron, Copper, Silver
What is the main language of Brazil? | Portuguese | Spanish, French, Italian
Which river flows through London? | The Thames | The Seine, The Danube, The Rhine
In which city does the Colosseum stand? | Rome | Athens, Naples, Milan
In which country is Machu Picchu? | Peru | Mexico, Chile, Colombia
In which country is the Taj Mahal? | India | Iran, Turkey, Nepal
In which year did the Second World War end? | 1945 | 1939, 1918, 1950
In which year did people first land on the Moon? | 1969 | 1957, 1961, 1975
In which year did the Berlin Wall fall? | 1989 | 1961, 1979, 1999
Which is the largest animal alive today? | The blue whale | The elephant, The giraffe, The polar bear
How many legs does a spider have? | Eight | Six, Ten, Twelve
Which organ pumps blood through the body? | The heart | The liver, The lung, The kidney
How many players of one team are on the field in football? | Eleven | Nine, Ten, Twelve
What is the currency of Japan? | The yen | The won, The yuan, The baht
Which strait separates Europe and Africa? | Gibraltar | Malacca, Hormuz, Magellan
Which desert covers most of northern Africa? | The Sahara | The Gobi, The Kalahari, The Atacama
How many strings does a violin have? | Four | Three, Five, Six
How many minutes are there in a day? | 1440 | 1200, 1600, 2400
What is the smallest prime number? | 2 | 1, 3, 5
What is the hardest natural mineral? | Diamond | Quartz, Topaz, Granite
""")
